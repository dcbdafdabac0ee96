"""`python -m tests.bench`: measure, write rows to build/bench/, print them as tables.

Machines are noisy: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

_OF_MODELS = {"cold_start", "load", "memory", "latency", "swaps"}
_PARTS = (*sorted(_OF_MODELS), "plan", "twin")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurements named on the command line."""
    # Before gRPC and TensorFlow are loaded: their notes would tear the tables.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tests.bench import rows
    from tests.bench.capacity import capacity
    from tests.bench.cold import cold_starts
    from tests.bench.images import garments, photos
    from tests.bench.latency import latencies
    from tests.bench.load import loads
    from tests.bench.memory import memory
    from tests.bench.stages import imports, stages
    from tests.bench.subjects import NAMES, SHIPPED, USUAL, installed_engines, subjects
    from tests.bench.swaps import swaps
    from tests.bench.twin import twin

    engines = installed_engines()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)}; by default all")
    parser.add_argument(
        "--runs", type=int, default=5, help="of what is repeated: starts, latency, twin, plan (default 5)"
    )
    parser.add_argument("--images", type=int, default=3000, help="of each load; of photos a tenth (default 3000)")
    parser.add_argument("--requests", type=int, default=100_000, help="of memory's; of photos a tenth (default 100000)")
    parser.add_argument("--model", action="append", choices=NAMES, help=f"by default {', '.join(USUAL)}")
    parser.add_argument("--engine", action="append", choices=engines, help="by default all that are installed")
    parser.add_argument("--million", action="store_true", help="the twin's memory over a million messages, too")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="a folder (default build/bench)")
    options = parser.parse_args(arguments)
    parts = options.parts or list(_PARTS)
    if wrong := set(parts) - set(_PARTS):
        parser.error(f"PART is {', '.join(sorted(wrong))}; it must be of {', '.join(_PARTS)}")
    options.out.mkdir(parents=True, exist_ok=True)

    def keep(name: str, *tables: tuple[str, list[rows.Row]]) -> None:
        path = options.out / f"{name}.json"
        rows.write(path, [each for _, found in tables for each in found])
        for title, found in tables:
            Console().print(rows.table(title, found))
        print(f"written to {path}", file=sys.stderr)

    measured = subjects(options.model or list(USUAL), options.engine or engines) if _OF_MODELS & {*parts} else []
    if "cold_start" in parts:
        keep(
            "cold_start",
            ("From the start of the process to the first response", cold_starts(measured, options.runs)),
            ("Where the time goes, in one process", stages(measured, options.runs)),
            ("Where the imports' time goes", imports(options.runs)),
        )
    if "load" in parts:
        found = loads(measured, options.images, min(3, options.runs))
        keep("throughput", ("Full load; client, broker and worker share the machine", found))
    if "memory" in parts:
        keep("memory", ("Memory of the worker's processes at full load", memory(measured, options.requests)))
    if "latency" in parts:
        keep("latency", ("Requests at random moments, by batcher", latencies(measured, options.images, options.runs)))
    if "swaps" in parts:
        found = swaps(measured, options.images, min(3, options.runs))
        keep("swaps", ("While an alias moves between two versions", found))
    if "plan" in parts:
        (shipped,) = subjects([SHIPPED], engines)
        for name, files in (("garments", garments(1000)), ("photos", photos(300))):
            found = capacity(files, shipped.engines, min(3, options.runs))
            keep(f"plan-{name}", (f"What plan calculates with: {name}", found))
    if "twin" in parts:
        keep("twin", ("The local twin", twin(options.runs, million=options.million)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # what was started has ended on the way here
        sys.exit(130)
