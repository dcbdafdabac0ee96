"""A peer's server as a process: on its own CPU, with a log, and ended with all its children."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.local.child import Child
from tests.bench.cold import HELD
from tests.bench.parts import ROOT, descendants
from tests.bench.peers.catalog import Peer
from tests.bench.peers.environments import BUILD, Environment


def reserve_cpu() -> str:
    """Keep client and broker off the first CPU, which is for the servers. Returns a description of the split."""
    others = os.sched_getaffinity(0) - {0}
    if not others or not shutil.which(HELD[0]):
        return "server, client and broker share all CPUs"
    os.sched_setaffinity(0, others)
    return "the server on one CPU, client and broker on the others"


@contextmanager
def running(peer: Peer, environment: Environment, artifact: Path, port: int, env: Mapping[str, str]) -> Iterator[Child]:
    """The server from its start on."""
    command = [*(HELD if shutil.which(HELD[0]) else []), *peer.command(environment.bin, port)]
    # What writes no bytecode would compile our own modules at every start; an image has them compiled.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    settings = {"ARTIFACT": str(artifact), "ENGINE": peer.engine, "LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT)}
    log = BUILD / "logs" / f"{peer.name}.log"
    child = Child(peer.name, command, log=log, cwd=ROOT, env={**inherited, **settings, **peer.env, **env})
    try:
        yield child
    finally:
        if child.exit_code is None:
            for each in descendants(child.pid):  # BentoML's worker has a session of its own
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        child.stop()
