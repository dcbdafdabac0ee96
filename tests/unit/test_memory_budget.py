"""The memory budget: a request that fits goes on, one that does not waits in turn."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from model.images.memory_budget import MemoryBudget
from tests.waiting import until


class Holder:
    """A thread that reserves memory and holds it until `go`."""

    def __init__(self, budget: MemoryBudget, amount: int) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()
        self._budget, self._amount = budget, amount
        self._thread = threading.Thread(target=self._stay)
        self._thread.start()

    def _stay(self) -> None:
        with self._budget.reserve(self._amount):
            self.inside.set()
            self.leave.wait(10)

    def go(self) -> None:
        self.leave.set()
        self._thread.join(10)


def queued(budget: MemoryBudget, count: int) -> bool:
    return until(lambda: len(budget._line) == count)


def test_reservations_that_fit_are_granted_together() -> None:
    budget = MemoryBudget(10)
    holders = [Holder(budget, 5), Holder(budget, 5)]
    assert all(holder.inside.wait(10) for holder in holders)
    for holder in holders:
        holder.go()


def test_a_small_reservation_does_not_wait_for_a_large_one() -> None:
    budget = MemoryBudget(10, overtaken_s=60)
    first = Holder(budget, 5)
    assert first.inside.wait(10)
    large = Holder(budget, 10)
    assert queued(budget, 1)
    small = Holder(budget, 1)
    assert small.inside.wait(10) and not large.inside.is_set()
    for holder in (first, small):
        holder.go()
    assert large.inside.wait(10)
    large.go()


def test_a_reservation_that_has_waited_long_is_not_overtaken() -> None:
    budget = MemoryBudget(10, overtaken_s=0)
    first = Holder(budget, 5)
    assert first.inside.wait(10)
    large = Holder(budget, 10)
    assert queued(budget, 1)
    small = Holder(budget, 1)
    assert queued(budget, 2)
    assert not large.inside.is_set() and not small.inside.is_set()
    first.go()
    assert large.inside.wait(10) and not small.inside.is_set()
    large.go()
    assert small.inside.wait(10)
    small.go()


def test_a_reservation_over_the_whole_budget_is_granted_alone() -> None:
    budget = MemoryBudget(10)
    with budget.reserve(1_000):
        other = Holder(budget, 1)
        assert queued(budget, 1) and not other.inside.is_set()
    assert other.inside.wait(10)
    other.go()


def test_a_wait_that_times_out_blocks_no_other() -> None:
    budget = MemoryBudget(10, patience_s=0.05)
    with budget.reserve(6):
        with pytest.raises(TimeoutError, match="no memory"), budget.reserve(5):
            pass
        with budget.reserve(4):
            pass
    with budget.reserve(10):
        pass


def test_memory_is_released_when_the_block_fails() -> None:
    budget = MemoryBudget(10)
    with pytest.raises(ValueError, match="inside"), budget.reserve(10):
        raise ValueError("inside")
    with budget.reserve(10):
        pass


def test_reservations_never_exceed_the_budget() -> None:
    budget, lock = MemoryBudget(100, patience_s=30), threading.Lock()
    inside = most = 0

    def visit(amount: int) -> None:
        nonlocal inside, most
        for _ in range(50):
            with budget.reserve(amount):
                with lock:
                    inside += amount
                    most = max(most, inside)
                with lock:
                    inside -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, [10, 20, 30, 40, 50, 60, 70, 100]))
    assert 0 < most <= 100 and inside == 0
