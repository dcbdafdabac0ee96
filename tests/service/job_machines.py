"""Machines for jobs: commands with a host name and a home of their own, and a worker that answers without a model."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.cloud import pubsub_v1

from functions.messages.contract import Response, encode_response, response_attributes
from infra.local.twin import Twin
from model.labels import Prediction

_PROGRAM = "import socket; socket.gethostname = lambda: {name!r}; from client.__main__ import console; console()"


@dataclass(frozen=True)
class Machine:
    """A machine that shares nothing with another one but the twin."""

    name: str
    home: Path
    twin_env: dict[str, str]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        env = {**os.environ, **self.twin_env, "XDG_DATA_HOME": str(self.home), "TMPDIR": str(self.home)}
        self.home.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(name=self.name), *words],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, timeout_s: float = 60.0) -> tuple[int, str, str]:
        """Run a command. Returns exit code, stdout, stderr."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=timeout_s)
            return process.returncode, out, err


@dataclass
class AnsweringWorker:
    """Answers requests of a topic while it is `open`, and counts the requests by their id."""

    asked: Counter[str] = field(default_factory=Counter)
    open: threading.Event = field(default_factory=threading.Event)


@contextmanager
def answering_worker(twin: Twin, topic: str) -> Iterator[AnsweringWorker]:
    """Create a topic and answer its requests during the block."""
    project = f"projects/{twin.project}"
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    publisher.create_topic(name=f"{project}/topics/{topic}")
    path = f"{project}/subscriptions/{topic}"
    subscriber.create_subscription(name=path, topic=f"{project}/topics/{topic}")
    worker, done = AnsweringWorker(), threading.Event()

    def answer(message: Any) -> None:
        asked = message.attributes
        worker.asked[asked["request_id"]] += 1
        worker.open.wait()
        if done.is_set():
            message.nack()
            return
        response = Response(asked["request_id"], (Prediction("shoe", 1.0),), None, reply_to=asked["reply_to"])
        publisher.publish(
            f"{project}/topics/res_predict", encode_response(response), **response_attributes(response)
        ).add_done_callback(lambda _: message.ack())

    stream = subscriber.subscribe(path, answer, flow_control=pubsub_v1.types.FlowControl(max_messages=100_000))
    try:
        yield worker
    finally:
        done.set()
        worker.open.set()
        stream.cancel()
        stream.result(30)
        subscriber.delete_subscription(subscription=path)
        publisher.delete_topic(topic=f"{project}/topics/{topic}")
        subscriber.close()
        publisher.stop()
        publisher.transport.close()
