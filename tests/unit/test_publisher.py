"""The batch publisher: single messages are sent at once, many in batches, a failure affects only its own messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from functions.gcp.publisher import BatchPublisher, IncompleteReply, Message, MessageRefused
from functions.runtime.gathering import GATHER_S, LONGEST_GATHER_S, MAX_MESSAGES
from model.engines.micro_batcher import start_thread
from tests.waiting import until


class Broker:
    """Remembers its calls; refuses, or fails for, what says so."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.free = threading.Event()
        self.free.set()

    def send(self, messages: Sequence[Message], /) -> Sequence[str]:
        data = [message.data for message in messages]
        self.calls.append(data)
        assert self.free.wait(10)
        if b"refused" in data:
            raise MessageRefused("one of them")
        if b"down" in data:
            raise TimeoutError("no broker")
        return [f"id of {each.decode()}" for each in data]


def test_single_messages_are_sent_at_once() -> None:
    broker, waits = Broker(), list[float]()
    publisher = BatchPublisher(broker.send, start_thread, sleep=waits.append)
    for name in ("a", "b", "c"):
        assert publisher.publish(name.encode(), {}).result(10) == f"id of {name}"
    assert broker.calls == [[b"a"], [b"b"], [b"c"]] and waits == []


def test_a_batch_returns_an_id_for_each_message() -> None:
    broker, waits = Broker(), list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    publisher = BatchPublisher(broker.send, start_thread, sleep=sleep)
    sent = {f"{number}": publisher.publish(f"{number}".encode(), {}) for number in range(1000)}
    assert all(future.result(10) == f"id of {name}" for name, future in sent.items())
    assert len(broker.calls) < 100 and max(map(len, broker.calls)) <= MAX_MESSAGES
    assert waits and max(waits) <= GATHER_S


@pytest.mark.parametrize(
    ("backlog_s", "longest_s"), [(0.0, GATHER_S), (0.03, 0.03), (LONGEST_GATHER_S + 1, LONGEST_GATHER_S)]
)
def test_messages_wait_for_a_batch_while_work_is_queued(backlog_s: float, longest_s: float) -> None:
    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    waits = list[float]()
    publisher = BatchPublisher(Broker().send, start_thread, lambda: backlog_s, sleep)
    began = time.monotonic()
    for future in [publisher.publish(b"", {}) for _ in range(10 * MAX_MESSAGES)]:
        assert future.result(10)
    assert 9 * longest_s <= time.monotonic() - began and 0 < max(waits) <= longest_s


def test_a_message_with_a_blocked_caller_is_sent_at_once() -> None:
    broker, waits = Broker(), list[float]()
    publisher = BatchPublisher(broker.send, start_thread, sleep=waits.append)
    sent = [publisher.publish(b"%d" % number, {}, waited=True) for number in range(300)]
    assert all(future.result(10) for future in sent) and waits == []


def test_a_slow_publish_call_delays_no_other() -> None:
    broker = Broker()
    broker.free.clear()
    publisher = BatchPublisher(broker.send, start_thread)
    slow = publisher.publish(b"slow", {})
    assert until(lambda: broker.calls)
    fast = publisher.publish(b"fast", {})
    assert until(lambda: len(broker.calls) == 2)
    broker.free.set()
    assert (slow.result(10), fast.result(10)) == ("id of slow", "id of fast")


@pytest.mark.parametrize(("bad", "failing"), [(b"refused", {b"refused"}), (b"down", {b"down", b"a", b"b"})])
def test_only_refused_messages_of_a_batch_fail(bad: bytes, failing: set[bytes]) -> None:
    broker, waiting, all_there = Broker(), threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        assert all_there.wait(10)

    publisher = BatchPublisher(broker.send, start_thread, sleep=sleep)
    while not waiting.wait(0.001):
        for data in (b"c", b"d"):  # two at a time, until some wait for others
            publisher.publish(data, {})
    sent = {data: publisher.publish(data, {}) for data in (b"a", bad, b"b")}
    all_there.set()
    failed = {data for data, future in sent.items() if future.exception(10)}
    assert any({b"a", bad, b"b"} <= set(call) for call in broker.calls) and failed == failing


def test_a_reply_with_missing_ids_fails_the_batch_and_no_thread() -> None:
    """Such threads died once, and then no response was ever published."""
    replies = iter([*[[]] * 8, *[["one", "too many"]] * 8])
    publisher = BatchPublisher(lambda messages: next(replies, ["id"]), start_thread)
    for _ in range(16):  # more than there are threads
        assert isinstance(publisher.publish(b"", {}).exception(10), IncompleteReply)
    assert publisher.publish(b"", {}).result(10) == "id"
