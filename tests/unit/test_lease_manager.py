"""The lease manager: acks, nacks and lease extensions that are due, and flow control."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from functions.gcp.lease_manager import Due, LeaseManager

LEASE_S = 20.0


class Clock:
    """A clock that tests move."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def held(*ack_ids: str, most: int = 8, clock: Callable[[], float] | None = None) -> LeaseManager:
    leases = LeaseManager(LEASE_S, most, 1000, clock or Clock())
    leases.add(dict.fromkeys(ack_ids, 10))
    return leases


def test_acks_and_nacks_are_sent_together_and_once() -> None:
    leases = held("a", "b", "c")
    leases.settle("a", True)
    leases.settle("b", False)
    leases.settle("a", False)  # too late: it is acked
    assert leases.due() == Due(("a",), ("b",))
    leases.settle("c", True)
    assert leases.due() == Due(("c",))


def test_the_sender_waits_until_an_ack_is_due() -> None:
    leases = held("a")
    with ThreadPoolExecutor(1) as sender:
        due = sender.submit(leases.due)
        leases.settle("a", True)
        assert due.result(10) == Due(("a",))


def test_open_leases_are_extended_at_half_of_their_time() -> None:
    clock = Clock()
    leases = held("a", "b", clock=clock)
    clock.now += 1
    leases.add({"later": 10})
    clock.now += LEASE_S / 2 - 1
    assert leases.due() == Due(extended=("a", "b"))
    leases.settle("a", True)
    clock.now += 1
    assert leases.due() == Due(("a",), extended=("later",))
    clock.now += LEASE_S / 2 - 1
    assert leases.due() == Due(extended=("b",))


def test_a_lease_that_comes_due_wakes_the_sender() -> None:
    leases = LeaseManager(0.02, 8, 1000)
    with ThreadPoolExecutor(1) as sender:
        due = sender.submit(leases.due)
        leases.add({"a": 10})
        assert due.result(10) == Due(extended=("a",))


def test_a_reader_at_its_limits_waits_for_capacity() -> None:
    for leases in (held("a", "b", most=2), LeaseManager(LEASE_S, 8, 20)):
        leases.add({"a": 10, "b": 10})
        with ThreadPoolExecutor(1) as reader:
            waiting = reader.submit(leases.wait_for_capacity)
            assert not waiting.done()
            leases.settle("a", True)
            waiting.result(10)
        leases.wait_for_capacity()


def test_stopping_wakes_a_reader_that_waits_for_capacity() -> None:
    leases, full = held("a", most=1), threading.Event()

    def read() -> None:
        full.set()
        leases.wait_for_capacity()

    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(read)
        assert full.wait(10)
        leases.stop()
        waiting.result(10)


def test_the_last_acks_are_sent_before_closing() -> None:
    leases = held("a", "b")
    leases.settle("a", True)
    leases.close()
    assert leases.due() == Due(("a",)) and leases.due() is None
