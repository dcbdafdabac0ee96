"""Behind a proxy that answers nothing, everything on this machine works: twin, worker, clients, doctor."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.service.test_up import UP, running

NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class SilentProxy:
    """Accepts connections, reads what is sent, and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                self.connections.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self.connections):
            each.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentProxy]:
    made = SilentProxy()
    for name in NAMES:
        monkeypatch.setenv(name, made.url)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.close()


def test_the_twin_and_every_command_reach_this_machine(proxy: SilentProxy, root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log") as up:
        assert up.ready(), up.said
        printed = subprocess.run(
            [*UP, "--env", str(up.process.pid)], cwd=root, capture_output=True, text=True, timeout=20, check=True
        )
        lines = [line.removeprefix("export ").partition("=") for line in printed.stdout.splitlines()]
        twin = {name: value.strip("'") for name, _, value in lines}
        assert twin.pop("no_proxy") == "127.0.0.1,localhost,::1"
        samples = str(root / "client" / "samples")
        for words in (["publish", samples], ["upload", samples], ["predict", samples], ["doctor"]):
            done = subprocess.run(
                [sys.executable, "-m", "client", *words],
                cwd=root, env={**os.environ, **twin}, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    assert not proxy.connections


def test_the_pull_worker_reaches_the_twin(proxy: SilentProxy, root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log", "--worker", "pull") as up:
        assert up.ready(), up.said
    assert not proxy.connections


def test_the_demo_works(proxy: SilentProxy, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    demo = [sys.executable, "-m", "infra.local.demo"]
    done = subprocess.run(demo, cwd=root, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HTTP: 10 of 10 answered" in done.stdout
