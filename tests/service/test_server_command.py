"""The command that starts the push worker refuses what it cannot use, in one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "functions.runtime.fast_start", "functions.entrypoints.server"]


def refusal(root: Path, port: int, **env: str) -> str:
    """What the command prints to stderr."""
    done = subprocess.run(
        [*COMMAND, "--port", str(port)],
        cwd=root,
        env={**os.environ, "GOOGLE_CLOUD_PROJECT": "p", **env},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    return done.stderr


def test_a_port_in_use_is_refused(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(root, port)
    assert said.startswith(f"cannot listen on 127.0.0.1:{port} (") and said.endswith("state a free port with --port\n")


@pytest.mark.parametrize("threads", ["0", "many", "-1", "1001"])
def test_a_number_of_threads_that_is_none_is_refused(root: Path, threads: str) -> None:
    assert refusal(root, 0, THREADS=threads) == f"THREADS is {threads!r}; it must be a whole number from 1 to 1000\n"
