"""`python -m infra.local up` as a command: its output, its start time, and that no process remains."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from infra.local.ports import free_port, listens
from infra.local.runs import BUILD
from tests.processes import alive
from tests.waiting import until

UP = [sys.executable, "-m", "infra.local", "up"]


class TwinProcess:
    """A twin in a process of its own."""

    def __init__(self, root: Path, log: Path | None, *arguments: str, env: dict[str, str] | None = None) -> None:
        where = ["--log", str(log)] if log else []
        self.process = subprocess.Popen(
            [*UP, *where, *arguments], cwd=root, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said = ""

    def ready(self) -> bool:
        """Read what it says until it is ready or has ended."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if "--env" in line:
                return True
        return False

    def port(self, part: str) -> int:
        match = re.search(rf"^{part} .*127\.0\.0\.1:(\d+)", self.said, re.M)
        assert match, self.said
        return int(match[1])

    def family(self) -> list[int]:
        """The process and all that descend from it."""
        found = [self.process.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            found += map(int, children.read_text().split()) if children.exists() else []
        return found


@contextmanager
def running(root: Path, log: Path | None, *arguments: str, env: dict[str, str] | None = None) -> Iterator[TwinProcess]:
    up = TwinProcess(root, log, *arguments, env=env)
    try:
        yield up
    finally:
        up.process.kill()
        up.process.communicate()


@pytest.mark.timing  # and --env without a process id requires that this checkout has one twin
def test_up_starts_the_twin_and_ctrl_c_ends_it(root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log") as up:
        assert up.ready(), up.said
        assert requests.get(f"http://127.0.0.1:{up.port('worker')}/ready", timeout=5).status_code == 200
        assert requests.get(f"http://127.0.0.1:{up.port('storage')}/storage/v1/b/uploads", timeout=5).ok
        page = requests.get(f"http://127.0.0.1:{up.port('page')}/api/facts", timeout=5).json()
        assert page["ways"] == ["topic", "bucket", "http"]
        assert listens(up.port("pubsub"))
        family = up.family()
        assert len(family) >= 2, "the twin and its worker"

        printed = subprocess.run([*UP, "--env"], cwd=root, capture_output=True, text=True, timeout=20)
        assert printed.returncode == 0 and printed.stderr == ""
        assert set(printed.stdout.splitlines()) == {
            f"export PUBSUB_EMULATOR_HOST=127.0.0.1:{up.port('pubsub')}",
            f"export CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://127.0.0.1:{up.port('pubsub')}/",
            f"export STORAGE_EMULATOR_HOST=http://127.0.0.1:{up.port('storage')}",
            f"export CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=http://127.0.0.1:{up.port('storage')}/storage/v1/",
            f"export WORKER_URL=http://127.0.0.1:{up.port('worker')}",
            f"export OIDC_JWKS_URL=http://127.0.0.1:{up.port('keys')}/oauth2/v3/certs",
            "export GOOGLE_CLOUD_PROJECT=local",
            "export UPLOAD_BUCKET=uploads",
            "export PAYLOAD_BUCKET=payloads",
            "export ALLOWED_BUCKETS=models,payloads,uploads",
            "export HTTP_ENDPOINT=on",
        }

        up.process.send_signal(signal.SIGINT)
        out, rest = up.process.communicate(timeout=15)
        assert (up.process.returncode, out, rest) == (0, "", "")
        assert not alive(family)
        for part in ("pubsub", "storage", "worker"):
            assert not listens(up.port(part))
    printed = subprocess.run([*UP, "--env"], cwd=root, capture_output=True, text=True, timeout=20)
    assert (printed.returncode, printed.stdout) == (1, "")
    assert "no twin is running" in printed.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_no_process_remains_after_the_twin_ends(root: Path, tmp_path: Path, number: signal.Signals) -> None:
    with running(root, tmp_path / "worker.log") as up:
        assert up.ready(), up.said
        family = up.family()
        up.process.send_signal(number)
        assert up.process.wait(15) == (-9 if number == signal.SIGKILL else 0)
        assert until(lambda: not alive(family)), alive(family)


def test_a_second_ctrl_c_does_not_disturb_the_first(root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log") as up:
        assert up.ready(), up.said
        family = up.family()
        for _ in range(3):
            up.process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert up.process.wait(15) == 0
        assert not alive(family)


def test_ctrl_c_during_the_start_ends_the_twin(root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log") as up:
        assert until(lambda: len(up.family()) > 1), "the worker was started"
        family = up.family()
        up.process.send_signal(signal.SIGINT)
        up.process.wait(15)
        assert not alive(family)


def test_the_twin_uses_the_given_ports(root: Path, tmp_path: Path) -> None:
    ports = {part: free_port() for part in ("pubsub", "storage", "worker")}
    arguments = [f"--{part}-port={port}" for part, port in ports.items()]
    with running(root, tmp_path / "worker.log", "--project", "mine", *arguments) as up:
        assert up.ready(), up.said
        assert {part: up.port(part) for part in ports} == ports
        assert "GOOGLE_CLOUD_PROJECT=mine" in (BUILD / str(up.process.pid) / "env").read_text()
        with running(root, tmp_path / "other.log", *arguments) as other:
            assert not other.ready()
            assert other.process.wait(10) == 1
            assert re.search(r"error: .*127\.0\.0\.1:\d+.*taken", other.said)


def test_a_worker_that_dies_at_start_is_a_clear_error(root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "MAX_BATCH_SIZE": "none"}
    began = time.monotonic()
    done = subprocess.run(
        [*UP, "--worker", "pull", "--log", str(tmp_path / "worker.log")],
        cwd=root, env=environment, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: the pull worker ended with code" in done.stderr
    assert "MAX_BATCH_SIZE" in done.stderr, "the end of its log"
    assert time.monotonic() - began < 50, "nobody waits for a worker that has ended"


@pytest.mark.parametrize("worker", ["push", "pull"])
def test_an_artifact_that_does_not_exist_is_one_line(root: Path, tmp_path: Path, worker: str) -> None:
    log = tmp_path / "worker.log"
    done = subprocess.run(
        [*UP, "--worker", worker, "--log", str(log)],
        cwd=root, env={**os.environ, "ARTIFACT": "nope"}, capture_output=True, text=True, timeout=40,
    )  # fmt: skip
    reason, place = done.stderr.splitlines()
    assert done.returncode == 1 and "the model folder nope does not exist" in reason and len(reason) <= 300
    assert place == f"  all of its output is in {log}"


@pytest.mark.parametrize(("name", "module"), [("worker", b"functions.entrypoints.server"), ("page", b"client\0web")])
def test_a_process_that_dies_later_ends_the_twin(name: str, module: bytes, root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log") as up:
        assert up.ready(), up.said
        family = up.family()
        (killed,) = (pid for pid in family if module in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(killed, signal.SIGKILL)
        _, rest = up.process.communicate(timeout=15)
        assert up.process.returncode == 1
        assert f"the {name} was killed by SIGKILL" in rest
        assert until(lambda: not alive(family))


def test_a_wrong_topology_is_named(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("topics: {requests: {retention: long}}")
    done = subprocess.run([*UP, "--topology", str(file)], cwd=root, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: mine.yaml: topics.requests.retention is 'long'; it must be a duration such as 10s\n"


@pytest.mark.parametrize("part", ["pubsub", "storage"])
def test_a_single_server_can_be_started(root: Path, part: str) -> None:
    port = free_port()
    command = [sys.executable, "-m", "infra.local", part, "--port", str(port)]
    server = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    try:
        assert until(lambda: listens(port))
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=10)
        assert server.returncode == 0
        assert "Traceback" not in said
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("part", ["pubsub", "storage"])
def test_a_taken_port_is_one_sentence(root: Path, part: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "infra.local", part, "--port", str(port)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"error: the \S+ server cannot listen on 127\.0\.0\.1:{port}; is the port taken\?\n", done.stderr
    )


@pytest.mark.timing  # --env without a process id requires that this checkout has no other twin
def test_two_twins_run_side_by_side(root: Path) -> None:
    def env(*pid: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*UP, "--env", *pid], cwd=root, capture_output=True, text=True, timeout=20)

    with running(root, None) as first, running(root, None) as second:
        assert first.ready() and second.ready(), (first.said, second.said)
        pids = [str(up.process.pid) for up in (first, second)]
        newest = max(pids, key=lambda pid: (BUILD / pid / "env").stat().st_mtime_ns)
        printed = env()
        assert f"the newest of 2 twins, {newest};" in printed.stderr and all(pid in printed.stderr for pid in pids)
        assert printed.stdout == env(newest).stdout
        for pid, up in zip(pids, (first, second), strict=True):
            own = env(pid)
            assert own.stderr == "" and f"PUBSUB_EMULATOR_HOST=127.0.0.1:{up.port('pubsub')}\n" in own.stdout
            assert f"build/local/{pid}/worker.log" in up.said
            assert (BUILD / pid / "worker.log").exists()
        wrong = env("1")
        assert wrong.returncode == 1 and "no twin of process 1 is running (running: " in wrong.stderr

        first.process.kill()  # it cannot take its folder along
        first.process.wait(10)
        assert (BUILD / pids[0] / "env").exists()
        assert env().stderr == "" and env().stdout == env(pids[1]).stdout
        with running(root, None) as third:
            assert third.ready(), third.said
            assert not (BUILD / pids[0]).exists(), "the next twin cleans up"
