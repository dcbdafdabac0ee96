"""The pull door: when a message is acked, when it is handed back, and how the worker drains."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from functions.events import from_pulled
from functions.handback import HandingBack
from functions.outcomes import Outcomes
from functions.pending import Pending
from functions.pulled import on_message
from model.later import done
from model.room import Room
from tests.fakes import BrightnessEngine, MemoryResponses, fake_service
from tests.samples import encoded


@dataclass
class Pulled:
    """A message that remembers its verdicts."""

    data: bytes = field(default_factory=encoded)
    attributes: Mapping[str, str] = field(default_factory=dict)
    message_id: str = "m1"
    publish_time: datetime = datetime(2026, 11, 21, tzinfo=UTC)
    delivery_attempt: int | None = None
    verdicts: list[str] = field(default_factory=list)

    def ack(self) -> None:
        self.verdicts.append("ack")

    def nack(self) -> None:
        self.verdicts.append("nack")


def run(message: Pulled, responses: MemoryResponses, pending: Pending, engine: BrightnessEngine | None = None) -> None:
    service = fake_service(engine=engine, responses=responses)
    on_message(message, from_pulled(message), service.respond_later, service, pending)


def test_acked_only_when_the_broker_has_the_response() -> None:
    message, responses, pending = Pulled(), MemoryResponses(hold=True), Pending()
    run(message, responses, pending)
    assert message.verdicts == [] and pending.drain(0.01) == 1
    responses.futures[0].set_result("id")
    assert message.verdicts == ["ack"] and pending.drain(1) == 0


def test_nacked_when_publishing_fails() -> None:
    message, responses, pending = Pulled(), MemoryResponses(failure=TimeoutError()), Pending()
    run(message, responses, pending)
    assert message.verdicts == ["nack"] and pending.drain(1) == 0


def test_nacked_when_scoring_fails() -> None:
    engine = BrightnessEngine()
    engine.failure = RuntimeError("broken")
    message, responses, pending = Pulled(), MemoryResponses(), Pending()
    run(message, responses, pending, engine)
    assert message.verdicts == ["nack"] and responses.published == [] and pending.drain(1) == 0


def test_acked_in_silence_when_nothing_is_asked() -> None:
    attributes = {"eventType": "OBJECT_DELETE", "bucketId": "b", "objectId": "o"}
    message, responses, pending = Pulled(b"", attributes), MemoryResponses(), Pending()
    service, envelope = fake_service(responses=responses), from_pulled(message)
    on_message(message, envelope, lambda envelope: done(lambda: service.respond(envelope)), service, pending)
    assert message.verdicts == ["ack"] and responses.published == [] and pending.drain(1) == 0


def test_a_stopping_worker_waits_for_the_broker_before_its_callback_returns() -> None:
    message, responses, pending = Pulled(), MemoryResponses(hold=True), Pending()
    assert pending.drain(1) == 0
    callback = threading.Thread(target=lambda: run(message, responses, pending))
    callback.start()
    deadline = time.monotonic() + 10
    while not responses.futures:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert callback.is_alive() and message.verdicts == []
    responses.futures[0].set_result("id")
    callback.join(10)
    assert message.verdicts == ["ack"]


def test_what_a_stopping_worker_has_not_begun_is_an_outcome_too(caplog: pytest.LogCaptureFixture) -> None:
    begun, finish, outcomes, worked = threading.Event(), threading.Event(), Outcomes(), list[str]()

    def work(message: Pulled) -> None:
        begun.set()
        assert finish.wait(10)
        worked.append(message.message_id)

    scheduler = HandingBack(ThreadPoolExecutor(1), outcomes, lambda message: False)
    for number in range(3):
        scheduler.schedule(work, Pulled(attributes={"request_id": f"r{number}"}, message_id=f"m{number}"))
    assert begun.wait(10)
    threading.Timer(0.05, finish.set).start()
    with caplog.at_level(logging.INFO, "functions"):
        dropped = scheduler.shutdown(await_msg_callbacks=True)
    assert worked == ["m0"] and [message.message_id for message in dropped] == ["m1", "m2"]
    assert [vars(record)["request_id"] for record in caplog.records] == ["r1", "r2"]
    assert outcomes.counts()["outcomes"]["nacked"] == 2 and outcomes.counts()["codes"] == {}


def test_who_finds_no_room_is_nacked_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    room, responses, message = Room(1, patience_s=0.01), MemoryResponses(), Pulled(attributes={"request_id": "r"})
    service = fake_service(responses=responses)
    service = replace(service, predictor=replace(service.predictor, room=room))
    with room.taken(1), caplog.at_level(logging.INFO, "functions"):
        on_message(message, from_pulled(message), service.respond_later, service, Pending())
    (record,) = caplog.records
    assert message.verdicts == ["nack"] and responses.published == []
    assert (vars(record)["outcome"], vars(record)["request_id"]) == ("nacked", "r")
    assert "no room" in caplog.text and service.outcomes.counts()["outcomes"]["nacked"] == 1


@pytest.mark.parametrize("begun", [1, 3])
def test_a_stopping_worker_waits_for_what_it_has_begun(begun: int) -> None:
    responses, pending = MemoryResponses(hold=True), Pending()
    messages = [Pulled() for _ in range(begun)]
    for message in messages:
        run(message, responses, pending)
    left: list[int] = []
    closing = threading.Thread(target=lambda: left.append(pending.drain(10)))
    closing.start()
    for future in responses.futures:
        assert left == []
        future.set_result("id")
    closing.join(10)
    assert left == [0]
    assert all(message.verdicts == ["ack"] for message in messages)
