"""Servers with a data folder that tests kill and restart, and stock clients for them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1

from infra.local.pubsub.server import PubsubServer
from tests.brokers import Cloud


class Server:
    """`python -m infra.local pubsub --data-dir` in a process of its own."""

    def __init__(self, root: Path, folder: Path) -> None:
        command = [sys.executable, "-m", "infra.local", "pubsub", "--data-dir", str(folder)]
        self.process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        said = self.process.stderr.readline()
        found = re.search(r"127\.0\.0\.1:\d+", said)
        assert found, said
        self.host = found[0]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=20)


@contextmanager
def server(root: Path, folder: Path) -> Iterator[Server]:
    found = Server(root, folder)
    try:
        yield found
    finally:
        found.kill()


@contextmanager
def clients(host: str, project: str = "kept", **options: Any) -> Iterator[Cloud]:
    """Stock clients of a server; `options` are the publisher's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", host)
        publisher, subscriber = pubsub_v1.PublisherClient(**options), pubsub_v1.SubscriberClient()
    try:
        yield Cloud("embedded", host, project, publisher, subscriber)
    finally:
        publisher.stop()
        publisher.transport.close()
        subscriber.close()


@contextmanager
def kept(folder: Path) -> Iterator[Cloud]:
    """A server in this process, and clients of it."""
    with PubsubServer(data_dir=folder) as held, clients(held.host) as cloud:
        yield cloud


def data(received: list[Any]) -> list[bytes]:
    return [each.message.data for each in received]
