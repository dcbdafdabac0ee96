"""Transient failures: nacked, retried with backoff, and finally dead-lettered with an error response."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from functions_framework import create_app
from werkzeug.serving import make_server

from functions import bootstrap
from functions.gcp.publisher import TopicResponses
from functions.messages.contract import DEAD_LETTER
from functions.runtime.supervised import Supervisor
from functions.service.handler import Handler
from infra.local.topology import Topology
from infra.local.twin import Delivery, Twin
from model.engines.base import Images, Scores
from tests.fakes import BrightnessEngine, fake_handler, forget_settings
from tests.log_lines import log_lines
from tests.pubsub_client import PubsubClient
from tests.samples import encoded

ATTEMPTS = 5
MINIMUM_S, MAXIMUM_S = 0.2, 0.8
GOOD = encoded()


@pytest.fixture
def impatient() -> Topology:
    """The shipped topology with short backoffs and the fewest attempts that Pub/Sub allows."""
    return Topology.read().with_retry(MINIMUM_S, MAXIMUM_S, ATTEMPTS)


def visit(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> PubsubClient:
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    return PubsubClient(twin.env["GOOGLE_CLOUD_PROJECT"])


class FailingEngine(BrightnessEngine):
    """Fails the first `failures` times and records when it was called."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.asked: list[float] = []

    def score(self, images: Images, /) -> Scores:
        self.asked.append(time.monotonic())
        if len(self.asked) <= self.failures:
            raise RuntimeError("out of luck")
        return super().score(images)


@contextmanager
def worker_of(handler: Handler, root: Path, pubsub: PubsubClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real application around a handler, pushed to: no real part can make an engine fail on demand."""
    monkeypatch.setattr(bootstrap, "_handler", lambda *_: handler)
    forget_settings()
    server = make_server("127.0.0.1", 0, create_app("serve", str(root / "functions" / "main.py")), threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    for name, path in (("req_predict-sub", "/"), ("dead_predict-announce", "/dead")):
        pubsub.subscriber.modify_push_config(
            subscription=f"projects/{pubsub.project}/subscriptions/{name}",
            push_config={"push_endpoint": f"http://127.0.0.1:{server.server_port}{path}"},
        )
    try:
        yield
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
        forget_settings()


def dead_letters(pubsub: PubsubClient) -> list[Any]:
    """The dead letters, once there are any."""
    deadline = time.monotonic() + 30
    while not (found := pubsub.backlog("dead_predict-sub")) and time.monotonic() < deadline:
        pass
    return found


def test_a_request_is_dead_lettered_when_the_engine_always_fails(
    root: Path, impatient: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FailingEngine(failures=1000)
    with Twin(worker=None, topology=impatient) as twin, visit(twin, monkeypatch) as pubsub:
        responses = TopicResponses(f"projects/{pubsub.project}/topics/res_predict", Supervisor())
        with worker_of(fake_handler(engine=engine, responses=responses), root, pubsub, monkeypatch):
            pubsub.publish(GOOD, request_id="r1", reply_to="me")
            (response,) = pubsub.responses({"r1"}, copies_for_s=1.0)
            assert response.error is not None and response.error.code == "unavailable"
            assert response.error.message == f"{DEAD_LETTER}: RuntimeError", "without the exception's text"
            assert (response.reply_to, response.delivery_attempt) == ("me", ATTEMPTS)
            assert len(engine.asked) == ATTEMPTS
            waits = [after - before for before, after in zip(engine.asked, engine.asked[1:], strict=False)]
            planned = [min(MAXIMUM_S, MINIMUM_S * 2**number) for number in range(len(waits))]
            assert all(wait >= 0.9 * least for wait, least in zip(waits, planned, strict=True)), (waits, planned)
            (dead_letter,) = dead_letters(pubsub)
            assert dead_letter.message.data == GOOD and dead_letter.message.attributes["request_id"] == "r1"
            assert pubsub.backlog("req_predict-sub") == []


def test_a_request_is_answered_after_two_engine_failures(
    root: Path, impatient: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FailingEngine(failures=2)
    with Twin(worker=None, topology=impatient) as twin, visit(twin, monkeypatch) as pubsub:
        responses = TopicResponses(f"projects/{pubsub.project}/topics/res_predict", Supervisor())
        with worker_of(fake_handler(engine=engine, responses=responses), root, pubsub, monkeypatch):
            pubsub.publish(GOOD, request_id="r1")
            (response,) = pubsub.responses({"r1"}, copies_for_s=1.0)
            assert (response.status, response.delivery_attempt) == ("ok", 3)
            assert pubsub.backlog("dead_predict-sub") == []


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["push"])  # a worker that pulls nacks by the same code: tests/unit/test_handler.py
def test_a_request_is_dead_lettered_when_storage_answers_503(
    worker: Delivery, impatient: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Twin(worker=worker, topology=impatient) as twin, visit(twin, monkeypatch) as pubsub:
        there = pubsub.drop("there.png", GOOD)
        assert [r.status for r in pubsub.responses({there})] == ["ok"]

        twin.storage.fail(status=503, times=1000)
        pubsub.publish(json.dumps({"image_uri": "gs://uploads/there.png"}).encode(), request_id="r1")
        (response,) = pubsub.responses({"r1"}, timeout_s=60, copies_for_s=1.0)
        assert response.error is not None and response.error.code == "unavailable"
        assert response.delivery_attempt == ATTEMPTS
        (dead_letter,) = dead_letters(pubsub)
        assert dead_letter.message.attributes["request_id"] == "r1"

        twin.storage.fail(status=503, times=2)
        pubsub.publish(json.dumps({"image_uri": "gs://uploads/there.png"}).encode(), request_id="r2")
        assert [r.status for r in pubsub.responses({"r2"}, timeout_s=60)] == ["ok"]


@pytest.mark.parametrize("worker", ["pull"])  # and one that pushes answers as it does when storage answers 503
def test_a_request_is_dead_lettered_without_a_response_topic(
    worker: Delivery, impatient: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"RESPONSE_TOPIC": "no_such_topic"}
    with Twin(worker=worker, topology=impatient, worker_env=env) as twin, visit(twin, monkeypatch) as pubsub:
        pubsub.publish(GOOD, request_id="r1")
        assert [dead_letter.message.attributes["request_id"] for dead_letter in dead_letters(pubsub)] == ["r1"]
        lines = log_lines(twin.log_path)
        loud = [line for line in lines if line["severity"] == "ERROR" and "no_such_topic" in line.get("exception", "")]
        assert len(loud) >= ATTEMPTS
