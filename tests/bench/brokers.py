"""Two Pub/Sub servers compared, each in its own process: how soon each answers a publish."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from infra.local.google import NoEmulator, find
from infra.local.ports import free_port
from tests.bench.parts import ROOT, process, until_listening

OURS = "embedded"


def backends() -> list[str]:
    """Our server, and Google's emulator where it is installed."""
    try:
        find(1)
    except NoEmulator:
        return [OURS]
    return [OURS, "google"]


@contextmanager
def broker(backend: str) -> Iterator[tuple[str, int]]:
    """A server that listens: `host:port` and its process id."""
    port = free_port()
    ours = [sys.executable, "-m", "infra.local", "pubsub", "--port", str(port)]
    with process(ours if backend == OURS else find(port), {}) as server:
        until_listening(port)
        yield f"127.0.0.1:{port}", server.pid


def seconds_to_ready(backend: str) -> float:
    """From the start of a server's process to its answer to a first publish."""
    start = time.perf_counter()
    with broker(backend) as (host, _), grpc.insecure_channel(host) as channel:
        publisher, topic = _publisher(channel), "projects/bench/topics/first"
        publisher.create_topic(name=topic)
        publisher.publish(topic=topic, messages=[{"data": b"x"}])
        return time.perf_counter() - start


def seconds_to_up(backend: str) -> float:
    """The same for the whole twin without a worker: its Storage server and its topics are ready too."""
    command = [sys.executable, "-m", "infra.local", "up", "--worker", "none", "--pubsub", backend]
    port = free_port()
    start = time.perf_counter()
    up = subprocess.Popen(
        [*command, "--pubsub-port", str(port)], cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True
    )
    try:
        assert up.stderr is not None
        if not any("ready in" in line for line in up.stderr):
            raise RuntimeError(f"the twin on {backend} did not start")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            _publisher(channel).publish(topic="projects/local/topics/req_predict", messages=[{"data": b"x"}])
        return time.perf_counter() - start
    finally:
        up.terminate()
        up.communicate()


def _publisher(channel: grpc.Channel) -> PublisherClient:
    return PublisherClient(transport=PublisherGrpcTransport(channel=channel))
