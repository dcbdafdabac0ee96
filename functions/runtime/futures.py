"""Several futures as one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future


def all_of(sent: Sequence[Future[str]]) -> Future[str]:
    """Return a future that ends like the last of these, or fails like one of them; at least one."""
    if len(sent) == 1:
        return sent[0]
    every: Future[str] = Future()
    missing = iter(range(len(sent) - 1))  # `next` is atomic

    def end(one: Future[str]) -> None:
        if next(missing, None) is None:
            failure = next(filter(None, (each.exception() for each in sent)), None)
            every.set_exception(failure) if failure else every.set_result(one.result())

    for each in sent:
        each.add_done_callback(end)
    return every
