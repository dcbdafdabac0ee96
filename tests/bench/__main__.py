"""`python -m tests.bench`: measure, write rows to build/bench/, print them as tables, and the time that each part took.

Machines are noisy: read the ratios. `--quick` measures nothing else.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurements named on the command line."""
    # Before gRPC and TensorFlow are loaded: their notes would tear the tables.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tests.bench import rows
    from tests.bench.run import PARTS, Options, measured
    from tests.bench.selection import QUICK, RUNS
    from tests.bench.subjects import NAMES, installed_engines

    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; by default all")
    parser.add_argument("--quick", action="store_true", help=f"the ratios of {', '.join(QUICK)} alone, in some minutes")
    parser.add_argument(
        "--runs", type=int, help=f"of what is repeated, all but memory (default {RUNS}; with --quick fewer)"
    )
    parser.add_argument(
        "--images", type=int, help="of each load; of photos a tenth (default 3000, or 1000 with --quick)"
    )
    parser.add_argument("--requests", type=int, default=100_000, help="of memory's; of photos a tenth (default 100000)")
    parser.add_argument("--model", action="append", choices=NAMES, help="by default what tells most, by part")
    parser.add_argument("--engine", action="append", choices=installed_engines(), help="by default the same")
    parser.add_argument("--million", action="store_true", help="the twin's memory over a million messages, too")
    parser.add_argument("--out", type=Path, help="a folder (default build/bench, or build/bench/quick with --quick)")
    given = parser.parse_args(arguments)
    known = tuple(QUICK) if given.quick else PARTS
    if wrong := set(given.parts) - set(known):
        parser.error(f"PART is {', '.join(sorted(wrong))}; it must be of {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends too
    out = given.out or Path("build/bench", "quick" if given.quick else "")
    out.mkdir(parents=True, exist_ok=True)
    images = given.images or (1000 if given.quick else 3000)
    options = Options(
        given.runs, images, given.requests, given.model or [], given.engine or [], given.quick, given.million
    )
    seconds: dict[str, float] = {}
    for part in given.parts or known:
        start = time.perf_counter()
        for name, tables in measured(part, options):
            kept = [(title, rows.ratios(found) if given.quick else found) for title, found in tables]
            rows.write(out / f"{name}.json", [each for _, found in kept for each in found])
            for title, found in kept:
                Console().print(rows.table(title, found))
            print(f"written to {out / name}.json", file=sys.stderr)
        seconds[part] = time.perf_counter() - start
    print("".join(f"{part:<12}{taken:7,.0f} s\n" for part, taken in (*seconds.items(), ("all", sum(seconds.values())))))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # what was started has ended on the way here
        sys.exit(130)
