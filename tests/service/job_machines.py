"""Machines for jobs: commands with a host name and a home of their own, and a worker that answers without a model."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
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

    patient = pubsub_v1.types.FlowControl(max_messages=100_000, min_duration_per_lease_extension=60)
    stream = subscriber.subscribe(path, answer, flow_control=patient)
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


def images(folder: Path, count: int) -> str:
    """Make a folder with this number of images; returns its path."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.png").write_bytes(b"image %d" % number)
    return str(folder)


def until(what: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def only_job(bucket: Any) -> Any:
    """The object of the only job in the bucket."""
    [blob] = [each for each in bucket.list_blobs() if each.name.endswith(".db")]
    return blob


def is_saved(bucket: Any, **numbers: int) -> bool:
    """Whether the only job is in the bucket with these numbers of its description."""
    found = [each for each in bucket.list_blobs() if each.name.endswith(".db")]
    if not found or "description" not in (found[0].metadata or {}):
        return False
    described = json.loads(found[0].metadata["description"])
    return all(described[name] >= number for name, number in numbers.items())


def answered(blob: Any, path: Path) -> set[str]:
    """The ids of requests whose responses the object holds."""
    blob.bucket.blob(blob.name).download_to_filename(str(path))
    with sqlite3.connect(path) as file:
        return {row[0] for row in file.execute("SELECT request_id FROM images WHERE rank > 0")}
