"""`python -m tests.bench.peers`: our worker compared with other servers of the same model.

Writes rows to build/bench/peers.json and prints tables.

The first time, an environment is made for each peer under build/peers/ (some gigabytes: three of them have TensorFlow).
Machines are noisy: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from compileall import compile_dir
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 when a peer that was there could not be measured."""
    # Before gRPC and TensorFlow are loaded: their notes would tear the tables.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from rich.console import Console

    from tests.bench import rows
    from tests.bench.parts import ROOT
    from tests.bench.peers.cases import cases
    from tests.bench.peers.catalog import PEERS
    from tests.bench.peers.environments import prepare
    from tests.bench.peers.measure import measure
    from tests.bench.peers.running import reserve_cpu
    from tests.bench.peers.tables import peer_rows, peer_tables
    from tests.bench.peers.turn import UNITS
    from tests.bench.subjects import SHIPPED, YARDSTICK

    models = YARDSTICK, "mobilenet-v1"
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    known = ", ".join(peer.name for peer in PEERS)
    parser.add_argument("--peer", action="append", choices=[peer.name for peer in PEERS], metavar="PEER", help=known)
    parser.add_argument(
        "--model", action="append", choices=[*models, SHIPPED], help=f"by default {' and '.join(models)}"
    )
    parser.add_argument("--runs", type=int, default=3, help="of all that is measured, in turns (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of full load in each run (default 4)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="a folder (default build/bench)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends too
    started = time.perf_counter()
    wanted = [peer for peer in PEERS if not options.peer or peer.name in options.peer]
    environments = prepare(peer.environment for peer in wanted)
    for package in ("functions", "model", "tests/bench"):
        compile_dir(ROOT / package, quiet=1)  # as the Dockerfile does
    found = cases(options.model or models)
    print(f"ready to measure after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    where = reserve_cpu()
    present = [peer for peer in wanted if peer.environment in environments]
    taken, failed = measure(present, environments, found, options.runs, options.seconds)
    how = {peer.name: f"{where}; {environments[peer.environment].versions()}; {peer.how}" for peer in present}
    units = UNITS | {"installed": "MB"}
    made = peer_rows(taken, units, how)
    options.out.mkdir(parents=True, exist_ok=True)
    rows.write(options.out / "peers.json", made)
    for table in peer_tables(made):
        Console().print(table)
    for peer in present:
        print(f"{peer.name}: {how[peer.name]}")
    print(f"written to {options.out / 'peers.json'} after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # what was started has ended on the way here
        sys.exit(130)
