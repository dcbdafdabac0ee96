"""The retrain loop on the twin: a request, a real training, a version, a candidate, an answer; and what goes wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from google.cloud import pubsub_v1, storage
from PIL import Image

from functions.messages.training import TrainingAnswer, decode_answer
from infra.local.topology import Topology
from infra.local.twin import Twin
from model.registry.aliases import CANDIDATE, STABLE
from model.registry.registry import Registry
from tests.registry_models import set_alias

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow", "environment")]

ROOT = Path(__file__).parents[2]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "infra" / "schemas" / "response.json").read_text()))
CONFIG = {"backbone": "MobileNet", "alpha": 0.25, "size": 32, "epochs": 3, "fine_tune_epochs": 0, "rate": 0.03}
DATA, REGISTRY = "gs://models/data", "gs://models/registry"
COLOURS = ("blue", "green", "red")


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(Topology.read().with_retry(0.1, 1), worker=None) as running:
        yield running


@pytest.fixture
def environment(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def images(twin: Twin) -> None:
    """Three colours, 30 images of each, and what is no image."""
    patch = pytest.MonkeyPatch()
    for name, value in twin.env.items():
        patch.setenv(name, value)
    bucket = storage.Client(project=twin.project).bucket("models")
    rng = np.random.default_rng(0)
    for column, label in enumerate(COLOURS):
        for number in range(30):
            pixels = rng.integers(0, 100, (40, 50, 3))
            pixels[..., 2 - column] += 150
            file = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG")
            bucket.blob(f"data/colours/{label}/{number}.jpg").upload_from_string(file.getvalue())
    bucket.blob("data/colours/red/notes.txt").upload_from_string("no image")
    bucket.blob("data/one/red/1.jpg").upload_from_string(b"x")
    patch.undo()


def settings(work: Path, **changes: str) -> dict[str, str]:
    given = {"REGISTRY": REGISTRY, "TRAIN_DATA": DATA, "TRAIN_WEIGHTS": "none", "TRAIN_WORK": str(work)}
    return {**os.environ, **given, "TRAIN_MODELS": "colours,others", **changes}


@contextmanager
def worker(work: Path, *arguments: str, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
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
        body = {"kind": "train", "request_id": request_id, "model": "colours", "data": f"{DATA}/colours"} | fields
        if body["kind"] == "train":
            body = {"config": CONFIG | {"quick": True}} | body
        self.publish(json.dumps(body).encode(), request_id)

    def publish(self, data: bytes, request_id: str) -> None:
        self._publisher.publish(self._topic, data, request_id=request_id, reply_to=self._name).result()

    def receive(self, timeout_s: float = 240) -> TrainingAnswer:
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


@pytest.fixture
def sender(twin: Twin, environment: None, request: pytest.FixtureRequest) -> Sender:
    return Sender(twin.project, f"s{abs(hash(request.node.name))}")


def test_a_request_is_trained_pushed_and_made_the_candidate(
    twin: Twin, images: None, sender: Sender, tmp_path: Path
) -> None:
    with worker(tmp_path):
        sender.send()
        first = sender.receive()
        assert first.response.error is None and first.kind == "train"
        model, training = first.response.model, first.training
        assert model and training and model.name == "colours"
        registry = Registry.at(REGISTRY)
        assert registry.versions("colours") == [model.version]
        assert registry.version("colours", model.version).manifest.digest == model.digest
        alias = registry.aliases("colours")[CANDIDATE]
        assert (alias.target.version, alias.percent, alias.shadow) == (model.version, 0.0, False)
        assert training.candidate and training.base_scores is None
        assert "there is no stable to compare it with" in training.message

        sender.send()  # as a redelivery
        again = sender.receive()
        assert again.response.model == model and again.training == training, "it is not trained twice"
        assert registry.versions("colours") == [model.version]

        sender.send("e1", kind="evaluate", model="colours@candidate")
        evaluated = sender.receive()
        assert evaluated.kind == "evaluate" and evaluated.training and evaluated.training.images == 90

        set_alias(registry, alias.target, STABLE, name="colours")
        sender.send("r2", config=CONFIG | {"quick": True, "seed": 1})
        second = sender.receive()
        assert second.training and second.response.model, second.response.error
        assert second.training.base_version == model.version
        assert second.training.base_scores == training.scores, "both are scored on the same held-out images"
        assert second.training.images == training.images
    print((tmp_path / "log").read_text())
