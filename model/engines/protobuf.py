"""Reads messages of protobuf's binary format field by field, without a schema and without copying the values."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

# A value of a field: a whole number, or the place of its bytes, which is their start and end in the buffer.
Place = tuple[int, int]
Value = int | Place

# Kinds of values: whole numbers, bytes with their length before them, and two kinds with a fixed length in bytes.
_NUMBER, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}

# Bytes of a whole number of 64 bits, 7 bits in each.
_MOST_BYTES = 10

# Fields and packed numbers of a file. A graph of 10,000 nodes has some 500,000; reading 5,000,000 takes seconds.
MAX_FIELDS = 5_000_000

# Bytes of a text that are read.
MAX_TEXT = 200


class Reader:
    """Reads the messages in a buffer. Raises ValueError for bytes that are no message, and for too many fields."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._left = data, MAX_FIELDS

    def fields(self, message: Value) -> Iterator[tuple[int, Value]]:
        """Yield the number and the value of each field of a message, in the file's order."""
        at, end = _place(message)
        while at < end:
            key, at = self._number(at, end)
            kind = key & 7
            value: Value
            if kind == _NUMBER:
                value, at = self._number(at, end)
            else:
                length, at = self._number(at, end) if kind == _BYTES else (_FIXED.get(kind, end), at)
                value, at = (at, at + length), at + length
            if at > end:
                raise ValueError("a field is longer than its message")
            yield key >> 3, value

    def numbers(self, value: Value) -> Iterator[int]:
        """Yield the whole numbers of a repeated field: one of them, or several that are packed into bytes."""
        if isinstance(value, int):
            yield value
            return
        at, end = value
        while at < end:
            number, at = self._number(at, end)
            yield number

    def text(self, value: Value) -> str:
        """The text of a field, at most its first MAX_TEXT bytes."""
        start, end = _place(value)
        return self._data[start : min(end, start + MAX_TEXT)].decode("utf-8", "replace")

    def _number(self, at: int, end: int) -> tuple[int, int]:
        """A whole number, and the place after it."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {MAX_FIELDS:,} fields")
        value = 0
        for place in range(at, min(end, at + _MOST_BYTES)):
            byte = self._data[place]
            value |= (byte & 127) << 7 * (place - at)
            if byte < 128:
                return value, place + 1
        raise ValueError("a number without an end")


def length_of(value: Value) -> int:
    """The count of bytes of a field's value."""
    start, end = _place(value)
    return end - start


def _place(value: Value) -> Place:
    if isinstance(value, int):
        raise ValueError("a number in the place of bytes")
    return value
