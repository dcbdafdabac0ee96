"""The settled dead letters of a partition of Kafka, in a form that the partition's consumer group keeps."""

from __future__ import annotations

from client.text import SendError
from functions.kafka.offset_ranges import decoded, encoded


class Settled:
    """A set of offsets: all below `low`, and ranges above. `text` is what an earlier one returned as its text.

    Offsets are settled in any order, as a redrive of chosen dead letters does. A group commits `low`, and the ranges as
    the text next to it.
    """

    def __init__(self, low: int = 0, text: str = "") -> None:
        self.low = low
        self._ranges = decoded(low, text)

    def __contains__(self, offset: int) -> bool:
        return offset < self.low or any(first <= offset < end for first, end in self._ranges)

    def add(self, first: int, end: int) -> None:
        """Settle the offsets from `first` up to and without `end`."""
        if first >= end:
            return
        joined = list[tuple[int, int]]()
        for start, stop in sorted([*self._ranges, (first, end)]):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
            else:
                joined.append((start, stop))
        while joined and joined[0][0] <= self.low:
            self.low = max(self.low, joined.pop(0)[1])
        self._ranges = joined

    @property
    def text(self) -> str:
        """The ranges, relative to `low`, as text. Raises SendError where a group cannot keep so many."""
        made, fitting = encoded(self.low, self._ranges)
        if fitting < len(self._ranges):
            raise SendError(
                "Kafka cannot keep which dead letters are redriven, because too many between them are not: redrive or "
                "purge the oldest first"
            )
        return made
