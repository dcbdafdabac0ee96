"""A unit test that starts a process or opens a socket fails, even when the exception is caught."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.isolation import FORBIDDEN, Forbidden, Isolation


@pytest.mark.parametrize("event", sorted(FORBIDDEN))
def test_a_forbidden_call_raises_and_is_recorded(event: str) -> None:
    isolation = Isolation()
    with isolation.of("a test") as seen, suppress(Forbidden):
        isolation.audit(event, ("what",))
        pytest.fail("nothing was raised")
    assert seen == [f"{event}('what',)"]


def test_allowed_calls_pass() -> None:
    isolation = Isolation()
    with isolation.of("a test") as seen:
        isolation.audit("open", ("file",))
    isolation.audit("subprocess.Popen", ("after the test",))
    assert seen == []


def in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_only_threads_of_the_test_are_restricted() -> None:
    isolation, begun, ended = Isolation(), threading.Event(), threading.Event()

    def connect() -> None:
        with suppress(Forbidden):
            isolation.audit("socket.connect", ("somewhere",))

    def elder() -> None:
        assert begun.wait(10)
        connect()
        ended.set()

    old = threading.Thread(target=elder)
    old.start()
    with isolation.of("a test") as seen:
        begun.set()
        assert ended.wait(10)
        assert seen == []
        in_thread(connect)
        assert len(seen) == 1
    old.join()
