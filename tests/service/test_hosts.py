"""Addresses of the twin: loopback only, unless `--host` opens it with a warning."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from google.cloud import pubsub_v1, storage

from infra.local.ports import LOOPBACK, free_port, listens, own_address
from infra.local.pubsub.server import PubsubServer
from infra.local.storage.server import StorageServer
from infra.local.twin import Twin
from tests.service.test_up import UP, running

NEIGHBOUR = "127.0.0.2"
"""Another address of this machine: what listens on 127.0.0.1 does not listen here."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 has to be made first")


def test_servers_listen_on_loopback_by_default() -> None:
    with PubsubServer() as pubsub, StorageServer() as store:
        for address in (pubsub.host, pubsub.jwks_url.split("/")[2], store.url.removeprefix("http://")):
            port = int(address.rpartition(":")[2])
            assert listens(port) and not listens(port, NEIGHBOUR)


def test_servers_listen_on_every_address_on_request(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(root, tmp_path / "worker.log", "--host", "0.0.0.0") as up:
        assert up.ready(), up.said
        assert re.search(r"^WARNING: .*0\.0\.0\.0.*can read and change everything$", up.said, re.M)
        for part in ("pubsub", "storage", "worker"):
            assert listens(up.port(part), NEIGHBOUR), part
        assert requests.get(f"http://{NEIGHBOUR}:{up.port('worker')}/ready", timeout=5).status_code == 200
        printed = subprocess.run(
            [*UP, "--env", str(up.process.pid)], cwd=root, capture_output=True, text=True, timeout=20
        )
        assert "0.0.0.0" not in printed.stdout
        for line in printed.stdout.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{NEIGHBOUR}:{up.port('storage')}")
        client = storage.Client(project="local")
        blob = client.bucket("payloads").blob("large")
        with blob.open("wb", chunk_size=256 * 1024) as file:  # resumable: the server says where to send the rest
            file.write(bytes(600_000))
        assert len(blob.download_as_bytes()) == 600_000
        client.close()


@pytest.mark.parametrize("part", ["pubsub", "storage"])
@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), (NEIGHBOUR, False), ("localhost", False)])
def test_a_single_server_listens_on_the_given_address(root: Path, part: str, host: str, warned: bool) -> None:
    port = free_port()
    command = [sys.executable, "-m", "infra.local", part, "--port", str(port), "--host", host]
    server = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        said = ""
        while not re.search(rf"^{part} .*:{port}", said, re.M):
            line = server.stderr.readline()
            assert line, said
            said += line
        assert listens(port, LOOPBACK if host == "localhost" else NEIGHBOUR)
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=10)
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0
    assert ("WARNING" in said) is warned, said


def test_a_twin_listens_on_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with Twin(worker=None, host=NEIGHBOUR) as twin:
        assert twin.pubsub_host.startswith(NEIGHBOUR) and twin.storage_url.startswith(f"http://{NEIGHBOUR}:")
        assert not listens(int(twin.pubsub_host.rpartition(":")[2]))
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", twin.pubsub_host)
        publisher = pubsub_v1.PublisherClient()
        assert len(list(publisher.list_topics(project="projects/local"))) >= 3
        publisher.transport.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid", "::", ""])
def test_a_foreign_address_is_refused(root: Path, host: str) -> None:
    done = subprocess.run([*UP, "--host", host], cwd=root, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert f"argument --host: {host!r} is not an IPv4 address or name of this machine; 0.0.0.0 means all" in done.stderr


def test_names_of_addresses_of_this_machine_are_accepted() -> None:
    assert own_address("localhost") == LOOPBACK
    with pytest.raises(ValueError, match="not an IPv4 address"):
        own_address("192.0.2.1")
