"""The pull entry point: when a message is acked, when it is handed back, and how the worker drains."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace

import pytest

from functions.messages.contract import Envelope
from functions.observability.request_log import Outcomes
from functions.runtime.delivery_executor import HandingBack
from functions.service.handler import Delivered, on_message
from functions.service.in_flight import Pending
from model.engines.futures import done
from model.images.memory_budget import Room
from tests.fakes import BrightnessEngine, MemoryResponses, fake_service
from tests.samples import encoded
from tests.waiting import until


@dataclass
class Pulled:
    """A message that remembers its verdicts."""

    envelope: Envelope = field(default_factory=lambda: Envelope("m1", encoded()))
    verdicts: list[str] = field(default_factory=list)

    def ack(self) -> None:
        self.verdicts.append("ack")

    def nack(self) -> None:
        self.verdicts.append("nack")


def run(message: Pulled, responses: MemoryResponses, pending: Pending, engine: BrightnessEngine | None = None) -> None:
    service = fake_service(engine=engine, responses=responses)
    on_message(message, service.respond_later, service, pending)


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
    message, responses, pending = Pulled(Envelope("m1", b"", attributes)), MemoryResponses(), Pending()
    service = fake_service(responses=responses)
    on_message(message, lambda envelope: done(lambda: service.respond(envelope)), service, pending)
    assert message.verdicts == ["ack"] and responses.published == [] and pending.drain(1) == 0


def test_what_a_stopping_worker_has_not_begun_is_an_outcome_too(caplog: pytest.LogCaptureFixture) -> None:
    begun, finish, outcomes, worked = threading.Event(), threading.Event(), Outcomes(), list[str]()

    def work(message: Delivered) -> None:
        begun.set()
        assert finish.wait(10)
        worked.append(message.envelope.id)

    threads = HandingBack("test", work, outcomes, count=1)
    messages = [Pulled(Envelope(f"m{number}", attributes={"request_id": f"r{number}"})) for number in range(3)]
    for message in messages:
        threads.put(message)
    assert begun.wait(10)
    with caplog.at_level(logging.INFO, "functions"):
        threads.stop()
    finish.set()
    assert until(lambda: worked == ["m0"], 10)
    assert [message.verdicts for message in messages] == [[], ["nack"], ["nack"]]
    assert [vars(record)["request_id"] for record in caplog.records] == ["r1", "r2"]
    assert outcomes.counts()["outcomes"]["nacked"] == 2 and outcomes.counts()["codes"] == {}


def test_who_finds_no_room_is_nacked_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    room, responses, message = (
        Room(1, patience_s=0.01),
        MemoryResponses(),
        Pulled(Envelope("m1", encoded(), {"request_id": "r"})),
    )
    service = fake_service(responses=responses)
    service = replace(service, predictor=replace(service.predictor, room=room))
    with room.taken(1), caplog.at_level(logging.INFO, "functions"):
        on_message(message, service.respond_later, service, Pending())
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
