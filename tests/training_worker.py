"""A training worker on a twin, and a sender of training requests, which reads their answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
from google.cloud import pubsub_v1

from functions.messages.contract import Envelope
from functions.messages.training import TrainingAnswer, TrainingRequest, decode_answer, decode_training
from tests.conftest import ROOT

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "infra" / "schemas" / "response.json").read_text()))
CONFIG = {"backbone": "MobileNet", "alpha": 0.25, "size": 32, "epochs": 3, "fine_tune_epochs": 0, "rate": 0.03}
DATA, REGISTRY = "gs://models/data", "gs://models/registry"


def settings(work: Path, **changes: str) -> dict[str, str]:
    """The environment of a worker that trains in the folder `work`."""
    given = {"REGISTRY": REGISTRY, "TRAIN_DATA": DATA, "TRAIN_WEIGHTS": "none", "TRAIN_WORK": str(work)}
    return {**os.environ, **given, "TRAIN_MODELS": "colours,others", **changes}


@contextmanager
def worker(work: Path, *arguments: str, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """A training worker, which is killed at the end of the block; its output is in `work`/log."""
    command = [sys.executable, "-m", "functions.entrypoints.train_worker", *arguments]
    log = (work / "log").open("ab")
    process = subprocess.Popen(command, env=settings(work, **changes), stdout=log, stderr=log, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


class Sender:
    """Publishes training requests, and reads their answers from a subscription of its own."""

    def __init__(self, project: str, name: str) -> None:
        self._publisher, self._subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
        self._topic = self._publisher.topic_path(project, "req_train")
        self._subscription = self._subscriber.subscription_path(project, f"answers-{name}")
        self._name = name
        self._subscriber.create_subscription(
            request={
                "name": self._subscription,
                "topic": self._publisher.topic_path(project, "res_predict"),
                "filter": f'attributes.reply_to = "{name}"',
            }
        )

    def send(self, request_id: str = "r1", **fields: Any) -> None:
        """Publish a request, by default one to train."""
        body = {"kind": "train", "request_id": request_id, "model": "colours", "data": f"{DATA}/colours"} | fields
        if body["kind"] == "train":
            body = {"config": CONFIG | {"quick": True}} | body
        self.publish(json.dumps(body).encode(), request_id)

    @property
    def sent(self) -> TrainingRequest:
        """The latest request."""
        request = decode_training(Envelope("", self._sent))
        assert isinstance(request, TrainingRequest)
        return request

    def publish(self, data: bytes, request_id: str) -> None:
        """Publish the bytes of a request."""
        self._sent = data
        self._publisher.publish(self._topic, data, request_id=request_id, reply_to=self._name).result()

    def receive(self, timeout_s: float = 400) -> TrainingAnswer:
        """The next answer, which fits the schema."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for received in self._subscriber.pull(
                subscription=self._subscription, max_messages=1, timeout=timeout_s, retry=None
            ).received_messages:
                self._subscriber.acknowledge(subscription=self._subscription, ack_ids=[received.ack_id])
                SCHEMA.validate(json.loads(received.message.data))
                assert received.message.attributes.get("kind") in ("train", "evaluate", None)
                return decode_answer(received.message.data, received.message.attributes)
        raise AssertionError("no answer")


def wait_for(condition: Callable[[], bool], timeout_s: float = 300) -> None:
    """Wait until a condition is true. Raises AssertionError after the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
