"""Coverage-guided fuzzing of the code that reads untrusted input: `python -m tests.fault.fuzz event --seconds 150`.

Needs atheris (`pip install -r tests/fault/requirements.txt`; wheels for some versions of Python on Linux). What it
keeps is in build/fuzz, at most a hundred files a target. A crash is saved there too, and ends with the
traceback.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["functions", "model"]):
    from tests.fault.targets import TARGETS

_KEPT = 100


def main() -> None:
    """Fuzz one target until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=150)
    options = parser.parse_args()
    function, seeds = TARGETS[options.target]
    folder = Path("build/fuzz") / options.target
    folder.mkdir(parents=True, exist_ok=True)
    kept = sorted(folder.iterdir(), key=lambda file: file.stat().st_size)
    for file in kept[_KEPT:]:
        file.unlink()
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={options.seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder.parent}/{options.target}-", str(folder)], function)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
