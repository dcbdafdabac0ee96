"""The offsets of one partition: finished in any order, and committed with those that are finished beyond."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from functions.kafka.offset_ranges import Ranges, encoded

T = TypeVar("T")


class PartitionOffsets(Generic[T]):
    """The offsets of one partition from their delivery until they are committed. For one thread at a time.

    `earlier`: offsets that an earlier reader finished, beyond the offset that it committed.
    """

    def __init__(self, earlier: Ranges = ()) -> None:
        self._earlier = earlier
        self._begun: deque[int] = deque()
        self._finished: set[int] = set()
        self._results: dict[int, T] = {}
        self._end, self._is_covered = 0, True
        self.position: int | None = None
        """The offset to commit: the lowest that is not finished, or the one after all; None before the first."""
        self.beyond = ""
        """The text to commit with it: the offsets that are finished beyond."""

    def begin(self, offset: int) -> bool:
        """A message is delivered. Offsets ascend; some may be left out, as in a compacted topic.

        Returns False for one that an earlier reader finished.
        """
        if not self._begun:
            self.position = offset
        self._begun.append(offset)
        if self._earlier and offset >= self._earlier[-1][1]:
            self._earlier = ()
        if any(first <= offset < end for first, end in self._earlier):
            self._finished.add(offset)
            self._is_covered = False
            return False
        return True

    def finish(self, offset: int, result: T) -> None:
        """A message that was begun is finished."""
        self._finished.add(offset)
        self._results[offset] = result
        self._is_covered = False

    def advance(self) -> list[T]:
        """Move `position` and `beyond` past what is finished. Returns the results that are new there."""
        if self._is_covered:
            return []
        while self._begun and self._begun[0] in self._finished:
            offset = self._begun.popleft()
            self._finished.discard(offset)
            self.position = self._begun[0] if self._begun else max(offset + 1, self._end)
        end = self._cover()
        found = {offset: self._results.pop(offset) for offset in list(self._results) if end is None or offset < end}
        self._is_covered = not self._results
        return list(found.values())

    def reach_end(self, offset: int) -> None:
        """All messages below this offset were delivered; those that were not begun are no messages but markers."""
        self._end = offset
        if not self._begun:
            self.position = max(self.position or 0, offset)

    def unfinished(self, end: int) -> int:
        """How many offsets before `end` are not finished; those of markers count, too."""
        return 0 if self.position is None else max(0, end - self.position - len(self._finished))

    def drop(self) -> list[T]:
        """Forget all messages. Returns the results that `advance` did not."""
        results = list(self._results.values())
        self._begun.clear()
        self._finished.clear()
        self._results.clear()
        return results

    def _cover(self) -> int | None:
        """Set `beyond`. Returns the end of what fits there; None when all does."""
        ranges: list[tuple[int, int]] = []
        first: int | None = None
        for offset in self._begun if self._finished else ():
            if offset in self._finished:
                first = offset if first is None else first
            elif first is not None:
                ranges.append((first, offset))
                first = None
        if first is not None:
            ranges.append((first, self._begun[-1] + 1))
        self.beyond, fitting = encoded(self.position or 0, ranges)
        return None if fitting == len(ranges) else ranges[fitting][0]
