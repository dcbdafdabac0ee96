"""Google's Java clients: Storage with the cases in ../shared/clients, and gRPC as the Pub/Sub client uses it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.local.google import NoEmulator, find
from infra.local.storage.server import StorageServer
from tests.brokers import Cloud
from tests.conftest import absent
from tests.shared_clients import run


@pytest.mark.slow
def test_the_java_client() -> None:
    with StorageServer() as server:
        output = run("java", server.url.removeprefix("http://"), limit_s=120)
    passed, failed = re.search(r"(\d+) passed, (\d+) failed", output).groups()  # type: ignore[union-attr]
    assert (int(passed) >= 45, failed) == (True, "0"), output


@pytest.mark.slow
@pytest.mark.parametrize("cloud", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    ("header_bytes", "at_once"), [(8 << 10, 60), (4 << 20, 1000)], ids=["by default", "as Google's"]
)
def test_java_learns_of_every_stale_ack_id(cloud: Cloud, header_bytes: int, at_once: int) -> None:
    """Google's client accepts headers of 4 MiB, and takes ids for acked that an error does not name."""
    subscription = cloud.subscription(cloud.topic(), enable_exactly_once_delivery=True)
    program = Path(__file__).parent / "java" / "StaleAcks.java"
    command = ["java", "-cp", emulator(), str(program), cloud.host, subscription, str(header_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *refused, last = [line.split() for line in done.stdout.splitlines()]
    assert last[0] == "INVALID_ARGUMENT" and {code for code, _ in refused} <= {"ABORTED"}, done.stdout
    assert sum(int(named) for _, named in [*refused, last]) == 1000
    assert all(int(named) >= at_once for _, named in refused or [last])


def emulator() -> str:
    """The jar of Google's emulator, which has gRPC for Java and the API's messages."""
    if not shutil.which("javac"):
        absent("no JDK is installed")
    try:
        jars = [word for word in find(1) if word.endswith(".jar")]
    except NoEmulator as exc:
        absent(str(exc))
    if not jars:
        absent("the jar of Google's emulator is not found")
    return jars[0]
