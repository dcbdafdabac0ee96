"""The setup of a load test: the twin, a worker and the client, each in its own process as in production.

The client uses the worker's own parts, so that it takes little of the machine that they share.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

import requests
from google.cloud import pubsub_v1

from functions.gcp.publisher import topic_publisher
from functions.messages.image_lines import RESPONSES, TOGETHER, encode_line
from functions.messages.request_decoder import LINES_TYPE
from functions.runtime.supervised import Supervisor
from infra.local.ports import free_port
from tests.bench import kafka
from tests.bench.parts import (
    GIVE_UP_S,
    PULL_COMMAND,
    ROOT,
    ResponseListener,
    environment,
    process,
    push_command,
    until_listening,
)
from tests.bench.posting import Posting

ENTRY_POINTS, HTTP, KAFKA = ("push", "pull"), "http", "kafka"
_WARM_UP = 100


@contextmanager
def twin() -> Iterator[dict[str, str]]:
    """The twin without a worker, ready; gives the environment that leads to it."""
    command = [sys.executable, "-m", "infra.local", "up", "--worker", "none"]
    up = subprocess.Popen(command, cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True)
    try:
        assert up.stderr is not None
        said = ""
        for line in up.stderr:
            said += line
            if "ready in" in line:
                break
        else:
            raise RuntimeError(f"the twin did not start: {said}")
        printed = subprocess.run(
            [sys.executable, "-m", "infra.local", "up", "--env", str(up.pid)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        yield dict(word.split("=", 1) for word in shlex.split(printed) if word != "export")
    finally:
        up.terminate()
        up.communicate()


class Line(Protocol):
    """A way to a worker and back.

    `heard`: the moment of each answer, by the request's id. `last`: the content of the latest answer.
    """

    heard: dict[str, float]
    last: bytes

    def send(self, image: bytes) -> str:
        """Ask, without waiting; gives the request's id."""
        ...

    def wait(self, ids: set[str]) -> float:
        """The moment at which the last of these was answered. Raises TimeoutError."""
        ...


class Publishing(ResponseListener):
    """Publishes to the request topic and hears the response topic."""

    def __init__(self, project: str) -> None:
        super().__init__(project)
        self._publisher = topic_publisher(f"projects/{project}/topics/req_predict", Supervisor())

    def send(self, image: bytes) -> str:
        """Publish, without waiting for the broker; gives the request's id."""
        request_id = uuid.uuid4().hex
        self._publisher.publish(image, {"request_id": request_id})
        return request_id


class Gathering(Publishing):
    """Publishes several images in each message, and hears lists of responses."""

    def __init__(self, project: str, images: int) -> None:
        super().__init__(project)
        self._images, self._lines = images, list[bytes]()

    def send(self, image: bytes) -> str:
        """Add to the message, and publish it when it is full; gives the request's id."""
        request_id = uuid.uuid4().hex
        self._lines.append(encode_line(request_id, image))
        if len(self._lines) == self._images:
            self._publish()
        return request_id

    def wait(self, ids: set[str]) -> float:
        """Publish the rest, and wait for the last answer."""
        self._publish()
        return super().wait(ids)

    def _publish(self) -> None:
        if self._lines:
            attributes = {"content_type": LINES_TYPE, RESPONSES: TOGETHER}
            self._publisher.publish(b"\n".join(self._lines), attributes)
            self._lines.clear()


@dataclass(frozen=True, slots=True)
class Rig:
    """A client of one worker. `pid`: the worker's."""

    pid: int
    line: Line

    def answer(self, images: Sequence[bytes]) -> float:
        """Ask for all at once; the moment at which the last of them is answered."""
        return self.line.wait({self.line.send(image) for image in images})

    def warm(self, images: Sequence[bytes]) -> None:
        """Have some answered that are not measured."""
        self.answer([images[number % len(images)] for number in range(_WARM_UP)])


def entry_points() -> tuple[str, ...]:
    """Those of Pub/Sub, and Kafka where there is a broker."""
    return (*ENTRY_POINTS, KAFKA) if kafka.is_there() else ENTRY_POINTS


@contextmanager
def rig(entry_point: str, settings: Mapping[str, str], images: int = 1) -> Iterator[Rig]:
    """A worker behind `entry point`, and what asks it; by Pub/Sub with this number of images in each message."""
    if entry_point == HTTP:
        with _posted(settings) as posted:
            yield posted
        return
    if entry_point == KAFKA:
        with (
            kafka.topics() as topics,
            closing(kafka.Producing(topics)) as producing,
            process(kafka.COMMAND, {**topics.env, **settings}) as worker,
        ):
            yield Rig(worker.pid, producing)
        return
    with twin() as env, environment(env):
        project, port = env["GOOGLE_CLOUD_PROJECT"], free_port()
        line = Publishing(project) if images == 1 else Gathering(project, images)
        try:
            with process(push_command(port) if entry_point == "push" else PULL_COMMAND, {**env, **settings}) as worker:
                if entry_point == "push":
                    push_to(project, port)
                yield Rig(worker.pid, line)
        finally:
            line.close()


@contextmanager
def _posted(settings: Mapping[str, str]) -> Iterator[Rig]:
    port = free_port()
    given = {"GOOGLE_CLOUD_PROJECT": "bench", "HTTP_ENDPOINT": "on", **settings}
    with process(push_command(port), given) as worker:
        _until_ready(port)
        line = Posting(port)
        try:
            yield Rig(worker.pid, line)
        finally:
            line.close()


def push_to(project: str, port: int) -> None:
    """Push requests to a worker once it is ready: what is refused comes again in ten seconds at the earliest."""
    _until_ready(port)
    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.modify_push_config(
            subscription=f"projects/{project}/subscriptions/req_predict-sub",
            push_config={"push_endpoint": f"http://127.0.0.1:{port}/"},
        )


def _until_ready(port: int) -> None:
    until_listening(port)
    requests.get(f"http://127.0.0.1:{port}/ready", timeout=GIVE_UP_S).raise_for_status()
