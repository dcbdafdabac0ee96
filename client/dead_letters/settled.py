"""The settled dead letters of a partition of Kafka, in a form that the partition's consumer group keeps."""

from __future__ import annotations

from collections.abc import Iterator

from client.text import SendError

MAX_TEXT_BYTES = 4096
"""Bytes of the text that a consumer group keeps for a partition: the broker's default of offset.metadata.max.bytes."""


class Settled:
    """A set of offsets: all below `low`, and ranges above. `text` is what an earlier one returned as its text.

    Offsets are settled in any order, as a redrive of chosen dead letters does. A group commits `low`, and the ranges as
    the text next to it.
    """

    def __init__(self, low: int = 0, text: str = "") -> None:
        self.low = low
        self._ranges = [(low + first, low + last + 1) for first, last in _read(text)]

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
        made = ",".join(f"{first - self.low}-{end - 1 - self.low}" for first, end in self._ranges)
        if len(made) > MAX_TEXT_BYTES:
            raise SendError(
                "Kafka cannot keep which dead letters are redriven, because too many between them are not: redrive or "
                "purge the oldest first"
            )
        return made


def _read(text: str) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a text. What another program wrote has none."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and last.isdigit():
            yield int(first), int(last)
