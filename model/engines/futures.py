"""Results that come later: what is worked out now, or by another thread, as a future."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def settle(future: Future[T], work: Callable[[], T]) -> None:
    """What is worked out now is the future's; so is a failure."""
    try:
        future.set_result(work())
    except Exception as exc:
        future.set_exception(exc)


def done(work: Callable[[], T]) -> Future[T]:
    """A future of what is worked out now."""
    future: Future[T] = Future()
    settle(future, work)
    return future
