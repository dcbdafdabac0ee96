"""Helpers for concurrent.futures."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


def then(future: Future[T], step: Callable[[Future[T]], U]) -> Future[U]:
    """The future result, or failure, of `step`, which the thread that ends `future` calls with it."""
    following: Future[U] = Future()
    future.add_done_callback(lambda ended: _end(following, step, ended))
    return following


class CallerRuns(Executor):
    """Runs each call at once, in the thread that submits it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """A future that has ended."""
        future: Future[T] = Future()
        _end(future, fn, *args, **kwargs)
        return future


def _end(future: Future[T], call: Callable[..., T], *args: Any, **kwargs: Any) -> None:
    """End `future` with the result or the failure of the call."""
    try:
        future.set_result(call(*args, **kwargs))
    except Exception as exc:
        future.set_exception(exc)
