"""When a worker reads the aliases of its models again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from functions.runtime import rereading
from functions.runtime.rereading import Rereading

AGE_S = 30.0


class Steps:
    """A clock that a test sets, and the threads that were started, which run when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reads = 0
        self.started: list[Callable[[], None]] = []
        self.rereading = Rereading(self._read, AGE_S, lambda _, run: self.started.append(run), lambda: self.now)

    def _read(self) -> None:
        self.reads += 1

    def run(self) -> None:
        self.started.pop(0)()


def test_requests_read_only_when_the_last_reading_is_old() -> None:
    steps = Steps()
    steps.now += AGE_S - 0.1
    steps.rereading.request()
    assert not steps.started
    steps.now += 0.1
    steps.rereading.request()
    assert len(steps.started) == 1
    steps.run()
    steps.rereading.request()
    assert not steps.started


def test_one_reading_runs_at_a_time() -> None:
    steps = Steps()
    steps.rereading.begin()
    steps.now += 2 * AGE_S
    steps.rereading.request()
    steps.rereading.begin()
    assert len(steps.started) == 1
    steps.run()
    steps.rereading.request()
    assert len(steps.started) == 1


def test_after_expire_the_next_request_reads() -> None:
    steps = Steps()
    steps.rereading.expire()
    steps.rereading.request()
    assert len(steps.started) == 1


def test_a_reading_that_fails_ends() -> None:
    def fail() -> None:
        raise RuntimeError("as a bug would")

    started: list[Callable[[], None]] = []
    tried = Rereading(fail, AGE_S, lambda _, run: started.append(run))
    for _ in range(2):
        tried.begin()
        with pytest.raises(RuntimeError):
            started.pop()()


def test_without_a_thread_the_request_goes_on_and_a_later_one_reads(caplog: pytest.LogCaptureFixture) -> None:
    steps, failures = Steps(), [RuntimeError("can't start new thread")]

    def start(name: str, run: Callable[[], None]) -> None:
        if failures:
            raise failures.pop()
        steps.started.append(run)

    tried = Rereading(lambda: None, AGE_S, start, lambda: steps.now)
    for _ in range(2):
        steps.now += AGE_S
        tried.request()
    assert len(steps.started) == 1
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == ["aliases not read"]


def test_a_quick_reading_holds_no_reply() -> None:
    steps = Steps()
    steps.rereading.begin()
    steps.now += rereading.HOLD_AFTER_S - 0.1
    began = time.monotonic()
    steps.rereading.finish()
    assert time.monotonic() - began < 1


def test_a_long_reading_holds_one_reply_until_it_ends() -> None:
    steps = Steps()
    steps.rereading.begin()
    steps.now += rereading.HOLD_AFTER_S
    held = threading.Thread(target=steps.rereading.finish)
    held.start()
    held.join(0.2)
    assert held.is_alive()
    steps.rereading.finish()  # another request: it does not wait
    steps.run()
    held.join(10)
    assert not held.is_alive()


def test_no_reply_is_held_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps()
    steps.rereading.begin()
    steps.now += rereading.HOLD_AFTER_S
    monkeypatch.setattr(rereading, "HOLD_S", 0.05)
    for _ in range(2):
        steps.rereading.finish()
