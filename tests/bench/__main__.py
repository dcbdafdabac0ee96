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


def main() -> int:
    """Run the measurements named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="cold starts of each kind (default 5)")
    parser.add_argument("--images", type=int, default=3000, help="images of each load (default 3000)")
    parser.add_argument("--out", type=Path, default=Path("build/bench/bench.json"))
    options = parser.parse_args()
    # Before gRPC is loaded: its notes about forks and polling would tear the table.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from tests.bench.cold import cold_starts
    from tests.bench.load import loads

    engines = ["litert"] + (["savedmodel"] if importlib.util.find_spec("tensorflow") else [])
    rows = cold_starts(engines, options.runs) + loads(options.images)
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()},
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1))
    _print(rows, engines)
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
