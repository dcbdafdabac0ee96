"""The offsets of one partition: finished in any order, and committed up to the lowest that is not finished."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class PartitionOffsets(Generic[T]):
    """The offsets of one partition from their delivery until they are committed. For one thread at a time."""

    def __init__(self) -> None:
        self._begun: deque[int] = deque()
        self._finished: dict[int, T] = {}
        self.position: int | None = None
        """The offset to commit: the lowest that is not finished, or the one after all; None before the first."""
        self._end = 0

    def begin(self, offset: int) -> None:
        """A message is delivered. Offsets ascend; some may be left out, as in a compacted topic."""
        if not self._begun:
            self.position = offset
        self._begun.append(offset)

    def finish(self, offset: int, result: T) -> None:
        """A message that was begun is finished."""
        self._finished[offset] = result

    def advance(self) -> list[T]:
        """Move `position` past what is finished. Returns the results of these messages, in their order."""
        results = list[T]()
        while self._begun and self._begun[0] in self._finished:
            offset = self._begun.popleft()
            results.append(self._finished.pop(offset))
            self.position = self._begun[0] if self._begun else max(offset + 1, self._end)
        return results

    def reach_end(self, offset: int) -> None:
        """All messages below this offset were delivered; those that were not begun are no messages but markers."""
        self._end = offset
        if not self._begun:
            self.position = max(self.position or 0, offset)

    def drop(self) -> list[T]:
        """Forget all messages. Returns the results of those that are finished."""
        results = list(self._finished.values())
        self._begun.clear()
        self._finished.clear()
        return results
