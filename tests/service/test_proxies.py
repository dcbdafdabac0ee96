"""Behind a proxy that answers nothing, everything on this machine works: twin, worker, clients, doctor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.test_up import UP, running
from tests.silent_server import SilentServer, proxied_environment


@pytest.fixture
def proxy() -> Iterator[SilentServer]:
    with SilentServer() as server:
        yield server


def test_the_twin_and_every_command_reach_this_machine(proxy: SilentServer, root: Path, tmp_path: Path) -> None:
    environment = proxied_environment(proxy)
    with running(root, tmp_path / "worker.log", env=environment) as up:
        assert up.ready(), up.said
        printed = subprocess.run(
            [*UP, "--env", str(up.process.pid)],
            cwd=root, env=environment, capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        lines = [line.removeprefix("export ").partition("=") for line in printed.stdout.splitlines()]
        twin = {name: value.strip("'") for name, _, value in lines}
        assert twin.pop("no_proxy") == "127.0.0.1,localhost,::1"
        samples = str(root / "client" / "samples")
        for words in (["publish", samples], ["upload", samples], ["predict", samples], ["doctor"]):
            done = subprocess.run(
                [sys.executable, "-m", "client", *words],
                cwd=root, env={**environment, **twin}, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    assert not proxy.proxied()


def test_the_pull_worker_reaches_the_twin(proxy: SilentServer, root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log", "--worker", "pull", env=proxied_environment(proxy)) as up:
        assert up.ready(), up.said
    assert not proxy.proxied()


def test_the_demo_works(proxy: SilentServer, root: Path) -> None:
    demo = [sys.executable, "-m", "infra.local.demo"]
    done = subprocess.run(demo, cwd=root, env=proxied_environment(proxy), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HTTP: 10 of 10 answered" in done.stdout
