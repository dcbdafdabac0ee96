"""Pub/Sub brokers under test, their stock clients, a push endpoint, and twins for the client and the doctor."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from google.cloud import pubsub_v1

from infra.local.google import GoogleEmulator, NoEmulator
from infra.local.pubsub.server import PubsubServer
from infra.local.twin import Delivery, Twin
from tests.conformance.differences import GOOGLE
from tests.conftest import absent
from tests.service.cli_harness import PROJECT, CommandLine, command_line
from tests.service.doctor_harness import DoctorHarness, doctor_harness
from tests.service.endpoint import Endpoint
from tests.service.job_commands import JobCommands


@dataclass(frozen=True, slots=True)
class Cloud:
    """A project of its own on one backend, and stock clients of it."""

    backend: str
    host: str
    project: str
    publisher: pubsub_v1.PublisherClient
    subscriber: pubsub_v1.SubscriberClient

    def topic(self, name: str = "topic", **settings: object) -> str:
        """Create a topic; gives its full name."""
        path = f"projects/{self.project}/topics/{name}"
        self.publisher.create_topic({"name": path, **settings})
        return path

    def subscription(self, topic: str, name: str = "subscription", **settings: object) -> str:
        """Create a subscription; gives its full name."""
        path = f"projects/{self.project}/subscriptions/{name}"
        self.subscriber.create_subscription({"name": path, "topic": topic, **settings})
        return path


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """The address of our server."""
    with PubsubServer() as server:
        yield server.host


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Google's emulator, started once."""
    emulator = GoogleEmulator(log=tmp_path_factory.mktemp("google") / "pubsub.log")
    try:
        emulator.start()
    except NoEmulator as exc:
        absent(str(exc))
    yield emulator.host
    emulator.stop()


@pytest.fixture(params=["embedded", "google"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Each backend in turn. Where Google's is known to differ, the test must fail: the table cannot grow stale."""
    backend = str(request.param)
    name = str(request.node.name)
    reason = GOOGLE.get(str(request.node.originalname)) or GOOGLE.get(name)
    if backend == "google" and reason:
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    host = request.getfixturevalue(backend)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    yield Cloud(backend, host, f"p-{uuid.uuid4().hex[:12]}", publisher, subscriber)
    publisher.stop()
    publisher.transport.close()
    subscriber.close()


@pytest.fixture(scope="session")
def shared_twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Delivery], Twin]]:
    """Shared twins, one with push and one with pull, started at first use. Tests leave them unchanged."""
    with ExitStack() as stack:

        @cache
        def twin(worker: Delivery) -> Twin:
            log = tmp_path_factory.mktemp("twin") / "worker.log"
            return stack.enter_context(Twin(worker=worker, project=PROJECT, log_path=log))

        yield twin


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An HTTP server to push to."""
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def harness(twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[DoctorHarness]:
    """`predictions doctor`, run against the module's own `twin`."""
    with doctor_harness(twin, monkeypatch, capsys) as harness:
        yield harness


@pytest.fixture
def cli(twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    """The client's commands, run against the module's own `twin`."""
    with command_line(twin, monkeypatch, capsys) as cli:
        yield cli


@pytest.fixture
def jobs(cli: CommandLine, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobCommands:
    """The client's commands in other processes, with a job store of their own."""
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    return JobCommands(cli, root, tmp_path)


@pytest.fixture
def samples(root: Path) -> Path:
    """The sample images that come with the client."""
    return root / "client" / "samples"
