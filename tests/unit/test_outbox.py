"""The outbox: one message goes out at once, many go together, and what fails fails for whom it must."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from google.cloud import pubsub_v1

from functions.contract import Response
from functions.gcp import TopicResponses
from functions.outbox import MAX_MESSAGES, Letter, Outbox, Refused
from infra.local.pubsub.server import PubsubServer


class Broker:
    """Remembers its calls; refuses, or fails for, what says so."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.free = threading.Event()
        self.free.set()

    def send(self, letters: Sequence[Letter], /) -> Sequence[str]:
        data = [letter.data for letter in letters]
        self.calls.append(data)
        assert self.free.wait(10)
        if b"refused" in data:
            raise Refused("one of them")
        if b"down" in data:
            raise TimeoutError("no broker")
        return [f"id of {each.decode()}" for each in data]


def test_one_goes_out_at_once_and_by_itself() -> None:
    broker = Broker()
    outbox = Outbox(broker.send)
    assert outbox.put(b"a", {}).result(10) == "id of a"
    assert broker.calls == [[b"a"]]


def test_many_go_together_each_with_its_own_id() -> None:
    broker = Broker()
    outbox = Outbox(broker.send)
    sent = {f"{number}": outbox.put(f"{number}".encode(), {}) for number in range(1000)}
    assert all(future.result(10) == f"id of {name}" for name, future in sent.items())
    assert len(broker.calls) < 100 and max(map(len, broker.calls)) <= MAX_MESSAGES


def test_a_call_that_takes_long_keeps_no_other() -> None:
    broker = Broker()
    broker.free.clear()
    outbox = Outbox(broker.send)
    slow = outbox.put(b"slow", {})
    while not broker.calls:
        pass
    fast = outbox.put(b"fast", {})
    while len(broker.calls) < 2:
        pass
    broker.free.set()
    assert (slow.result(10), fast.result(10)) == ("id of slow", "id of fast")


@pytest.mark.parametrize(("bad", "failing"), [(b"refused", {b"refused"}), (b"down", {b"down", b"a", b"b"})])
def test_what_is_refused_fails_alone_and_what_cannot_be_sent_together(bad: bytes, failing: set[bytes]) -> None:
    broker = Broker()
    outbox = Outbox(broker.send)
    assert outbox.put(b"first", {}).result(10)  # what comes now gathers
    sent = {data: outbox.put(data, {}) for data in (b"a", bad, b"b")}
    failed = {data for data, future in sent.items() if future.exception(10)}
    assert [b"a", bad, b"b"] in broker.calls and failed == failing


def test_a_response_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    with PubsubServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
        topic = "projects/p/topics/res"
        pubsub_v1.PublisherClient().create_topic(name=topic)
        responses = TopicResponses(topic)
        futures = [responses.publish(Response(f"r{number}")) for number in range(300)]
        assert len({future.result(10) for future in futures}) == 300
        with pytest.raises(Refused):  # over the 10 MB of a request
            responses.publish(Response("r" * 6_000_000)).result(10)
        good, broken = responses.publish(Response("good")), responses.publish(Response("\ud800"))
        assert good.result(10)
        with pytest.raises(Refused):
            broken.result(10)
