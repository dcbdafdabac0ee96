"""`python -m tests.bench.pythons FOLDER...`: the worker on several versions of Python.

A FOLDER is an environment with functions/requirements.lock installed by that version. All take turns, so that the load
of the machine affects all of them; processor time depends less on that load than time does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from infra.local.ports import free_port
from infra.local.twin import Twin
from tests.bench.cold import push_first
from tests.bench.images import garments
from tests.bench.parts import ROOT, as_the_image, cpu_s, environment, process, pss_mb, push_command
from tests.bench.rig import ENTRY_POINTS, HTTP, rig
from tests.bench.rows import Row, row, table, write

_UNITS = {"time": "s", "memory": "MB", "processor time": "s", "for an image": "us"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the environments that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pythons", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="an environment, as venv makes it")
    parser.add_argument("--turns", type=int, default=9, help="starts of each (default 9)")
    parser.add_argument("--images", type=int, default=3000, help="of each of three loads (default 3000)")
    parser.add_argument("--out", type=Path, default=Path("build/bench/pythons.json"), help="default %(default)s")
    options = parser.parse_args(arguments)
    bins = {_version(folder / "bin"): folder.absolute() / "bin" for folder in options.folders}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = _starts(bins, options.turns)
    write(options.out, rows)
    rows += _loads(bins, max(1, options.turns // 3), garments(options.images))
    write(options.out, rows)
    Console().print(table("The worker by version of Python", rows))
    print(f"written to {options.out}", file=sys.stderr)
    return 0


def _version(bin: Path) -> str:
    """The version of an environment's Python, as in `Python 3-13-0`: a row's name has points of its own."""
    said = subprocess.run([bin / "python", "--version"], capture_output=True, text=True, check=True).stdout
    return said.strip().replace(".", "-")


def _starts(bins: Mapping[str, Path], turns: int) -> list[Row]:
    """From the start of a push worker to the acknowledgement of its first push."""
    for bin in bins.values():
        subprocess.run([bin / "python", "-m", "compileall", "-q", "functions", "model"], cwd=ROOT, check=True)
    taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    settings, (image,) = as_the_image(), garments(1)
    with Twin(worker=None) as twin, environment(twin.env):
        for turn in range(turns + 1):
            for version, bin in bins.items():
                port, start = free_port(), time.perf_counter()
                with process(push_command(port, bin), {**settings, **twin.env}) as worker:
                    answered = push_first(port, image, uuid.uuid4().hex)
                    if turn:  # the first start reads the files from the disk
                        taken["start.time", version].append(answered - start)
                        taken["start.processor time", version].append(cpu_s(worker.pid))
                        taken["start.memory", version].append(pss_mb(worker.pid))
    return _rows(taken)


def _loads(bins: Mapping[str, Path], turns: int, files: list[bytes]) -> list[Row]:
    """Processor time of the worker for an image, and images a second, by entry point."""
    taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(turns):
        for entry_point in (*ENTRY_POINTS, HTTP):
            for version, bin in bins.items():
                with rig(entry_point, as_the_image(), bin=bin) as tested:
                    tested.warm(files)
                    before = cpu_s(tested.pid)
                    tested.answer(files)
                    taken_us = 1e6 * (cpu_s(tested.pid) - before)
                    taken[f"{entry_point}.for an image", version].append(taken_us / len(files))
                    taken[f"{entry_point}.memory", version].append(pss_mb(tested.pid))
    return _rows(taken)


def _rows(taken: Mapping[tuple[str, str], list[float]]) -> list[Row]:
    return [row(f"{name}.{version}", runs, _UNITS[name.split(".")[1]]) for (name, version), runs in taken.items()]


if __name__ == "__main__":
    sys.exit(main())
