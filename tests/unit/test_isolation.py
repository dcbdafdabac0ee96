"""A unit test that starts a process or opens a socket fails, even when the exception is caught."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.isolation import FORBIDDEN, Forbidden, Isolation


@pytest.mark.parametrize(("owner", "name"), FORBIDDEN)
def test_a_forbidden_call_raises_and_is_recorded(owner: Any, name: str) -> None:
    isolation = Isolation()
    guarded = isolation.guard(owner, name)
    with isolation.of("a test") as seen, suppress(Forbidden):
        guarded(*([None] if isinstance(owner, type) else []), "what")
        pytest.fail("nothing was raised")
    assert seen == [f"{owner.__name__}.{name}('what',)"]


@pytest.mark.parametrize(("owner", "name"), FORBIDDEN)
def test_every_unit_test_is_guarded(owner: Any, name: str) -> None:
    assert hasattr(getattr(owner, name), "__wrapped__"), "tests/isolation.py did not wrap it"


def test_calls_outside_of_unit_tests_pass() -> None:
    assert Isolation().guard(len, "__call__")("four") == 4


def in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_only_threads_of_the_test_are_restricted() -> None:
    isolation, begun, ended = Isolation(), threading.Event(), threading.Event()

    def connect() -> None:
        with suppress(Forbidden):
            isolation.guard(str, "upper")("somewhere")

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
