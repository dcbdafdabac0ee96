"""The pull door: when a message is acked, when it is handed back, and how the worker drains."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from functions.worker import Pending, on_message
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
    on_message(message, service.respond, service, pending)


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
    run(message, responses, pending)
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
