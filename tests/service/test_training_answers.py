"""Answers to training requests share the topic of responses: readers of responses to images do not get them."""

from __future__ import annotations

import queue
import re
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1

from client.gcp import Cloud
from client.transport.response_subscription import ResponseSubscription
from functions.messages.contract import Error, Response, encode_response, response_attributes
from functions.messages.training import TrainingAnswer, answer_attributes, decode_answer, encode_answer
from infra.local.twin import Twin

DONE = "2026-11-29T08:05:00.000Z"
ANSWER = TrainingAnswer("train", Response("t1", error=Error("invalid_request", "x"), completed_at=DONE, reply_to="me"))
IMAGE = Response("i1", error=Error("invalid_image", "x"), completed_at=DONE, reply_to="me")


@pytest.mark.parametrize("wants_answers", [False, True])
def test_a_reader_gets_what_it_decodes(wants_answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Twin(worker=None) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        arrived: queue.Queue[Any] = queue.Queue()
        cloud, said = Cloud(twin.project), list[str]()
        options: dict[str, Any] = {"decode": decode_answer} if wants_answers else {}
        with ResponseSubscription(cloud, arrived.put, said.append, said.append, all_clients=True, **options):
            publisher = pubsub_v1.PublisherClient()
            topic = cloud.topic_path("res_predict")
            publisher.publish(topic, encode_answer(ANSWER), **answer_attributes(ANSWER)).result()
            publisher.publish(topic, encode_response(IMAGE), **response_attributes(IMAGE)).result()
            found = {arrived.get(timeout=10)} | ({arrived.get(timeout=10)} if wants_answers else set())
        assert found == ({ANSWER, TrainingAnswer("", IMAGE)} if wants_answers else {IMAGE})
        assert arrived.empty() and said == []


def test_the_image_of_the_training_worker_copies_what_exists(root: Path) -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (root / "train.Dockerfile").read_text(), re.M)
    assert len(copied) == 3 and all((root / path).exists() for line in copied for path in line.split())
    kept, left_out = set[str](), set[str]()
    for line in (root / "train.Dockerfile.dockerignore").read_text().split():
        (kept if line.startswith("!") else left_out).add(line.lstrip("!"))
    assert kept == {"functions", "model"} and not any(
        "training" in each for each in left_out - {"model/artifacts/*/training"}
    )
