"""`python -m tests.bench`: measure, write build/bench/bench.json, print tables. Machines are noisy: read the ratios."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_PARTS = ("worker", "twin", "plan")


def main() -> int:
    """Run the measurements named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)}; by default all")
    parser.add_argument("--runs", type=int, default=5, help="cold starts, and repetitions for the twin (default 5)")
    parser.add_argument("--images", type=int, default=3000, help="images of each load (default 3000)")
    parser.add_argument("--million", action="store_true", help="the twin's memory over a million messages, too")
    parser.add_argument("--out", type=Path, default=Path("build/bench/bench.json"))
    options = parser.parse_args()
    parts = options.parts or list(_PARTS)
    if wrong := set(parts) - set(_PARTS):
        parser.error(f"PART is {', '.join(sorted(wrong))}; it must be of {', '.join(_PARTS)}")
    # Before gRPC is loaded: its notes about forks and polling would tear the table.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from tests.bench.capacity import capacity, photos
    from tests.bench.cold import cold_starts
    from tests.bench.load import loads
    from tests.bench.parts import garments
    from tests.bench.twin import tables, twin

    rows: list[dict[str, Any]] = []
    engines = ["litert"] + (["savedmodel"] if importlib.util.find_spec("tensorflow") else [])
    if "worker" in parts:
        rows += cold_starts(engines, options.runs) + loads(options.images)
    if "twin" in parts:
        rows += twin(options.runs, million=options.million)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if "plan" in parts:
        for name, files in (("garments", garments(1000)), ("photos", photos(300))):
            found = json.dumps(capacity(files, engines, min(3, options.runs)), indent=1)
            path = options.out.with_name(f"plan-{name}.json")
            path.write_text(found)
            print(f"written to {path}", file=sys.stderr)
    if not rows:
        return 0
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()},
        "rows": rows,
    }
    options.out.write_text(json.dumps(report, indent=1))
    if "worker" in parts:
        _print(rows, engines)
    if "twin" in parts:
        for table in tables(rows):
            Console().print(table)
    print(f"written to {options.out}", file=sys.stderr)
    return 0


def _print(rows: list[dict[str, Any]], engines: list[str]) -> None:
    cold = {(row["door"], row["engine"]): row for row in rows if row["what"] == "cold start"}
    table = Table("cold start", *(f"{engine}, s (min to max)" for engine in engines), "ratio", title="From zero")
    for door in ("push", "pull"):
        cells = [
            f"{row['median_s']:.2f} ({min(row['seconds']):.2f} to {max(row['seconds']):.2f})"
            for engine in engines
            if (row := cold[door, engine])
        ]
        ratio = cold[door, engines[-1]]["median_s"] / cold[door, engines[0]]["median_s"]
        table.add_row(door, *cells, f"{ratio:.1f}x" if len(engines) > 1 else "TensorFlow is not installed")
    load = Table("door", "images/s", "of the loop", "worker PSS, MB", title="Full load, 28x28 PNGs")
    for row in rows:
        if row["what"] == "load":
            share = f"{row['of_loop']:.0%}" if "of_loop" in row else ""
            memory = f"{row['worker_pss_mb']:.0f}" if "worker_pss_mb" in row else ""
            load.add_row(row["door"], f"{row['images_per_s']:,.0f}", share, memory)
    for each in (table, load):
        Console().print(each)


if __name__ == "__main__":
    sys.exit(main())
