"""Results that come later: what is done with one when it is there, without a thread that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def done(value: T) -> Future[T]:
    """A future that is there."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def then(before: Future[T], work: Callable[[T], U]) -> Future[U]:
    """`work` of what `before` gives, done by the thread that gives it; a failure of either is the future's."""
    after: Future[U] = Future()

    def run(before: Future[T]) -> None:
        try:
            after.set_result(work(before.result()))
        except Exception as exc:
            after.set_exception(exc)

    before.add_done_callback(run)
    return after
