"""Results that come later: what is done with one when it is there, without a thread that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def done(work: Callable[[], T]) -> Future[T]:
    """A future of what is worked out now; a failure is the future's."""
    future: Future[T] = Future()
    try:
        future.set_result(work())
    except Exception as exc:
        future.set_exception(exc)
    return future


def then(before: Future[T], work: Callable[[Future[T]], U]) -> Future[U]:
    """`work` of `before`, which is done by then, by the thread that did it; a failure of `work` is the future's."""
    after: Future[U] = Future()

    def run(before: Future[T]) -> None:
        try:
            after.set_result(work(before))
        except Exception as exc:
            after.set_exception(exc)

    before.add_done_callback(run)
    return after
