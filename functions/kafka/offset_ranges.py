"""Offsets above a committed one that are done, too: the text that a consumer group keeps next to its offset."""

from __future__ import annotations

from collections.abc import Sequence

MAX_BYTES = 4096
"""Maximum bytes of the text: the brokers' default of offset.metadata.max.bytes."""

Ranges = Sequence[tuple[int, int]]
"""Ranges of offsets in ascending order, each from its first up to and without its end."""


def encoded(low: int, ranges: Ranges) -> tuple[str, int]:
    """The text of the ranges above the offset `low`, and how many of them fit."""
    text = ""
    for number, (first, end) in enumerate(ranges):
        longer = f"{text},{first - low}-{end - 1 - low}".lstrip(",")
        if len(longer) > MAX_BYTES:
            return text, number
        text = longer
    return text, len(ranges)


def decoded(low: int, text: str) -> list[tuple[int, int]]:
    """The ranges of a text above the offset `low`. What another program wrote has none."""
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and last.isdecimal():
            found.append((low + int(first), low + int(last) + 1))
    return found
