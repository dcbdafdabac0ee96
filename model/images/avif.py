"""Counts the pixels of an AVIF's frames in its AV1 streams, because the size in its boxes may be wrong.

A decoder allocates each frame in the size that the stream states, and libavif crops it afterwards. A stream may also
hold frames that are never shown.
Formats: ISO/IEC 14496-12 (boxes) and the "AV1 Bitstream & Decoding Process Specification", sections 5.3 to 5.9.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from model.errors import ImageTooLarge, InvalidImage
from model.images.limits import too_many_parts

MAX_ITEMS = 256
"""Maximum number of coded images in a file, such as the cells of a grid, transparency and thumbnails. libavif makes a
decoder for each.
"""

MAX_PARTS = 10_000
"""Maximum number of boxes, extents of coded images, and units of their streams together. An image has a few dozen."""

_SEQUENCE_BYTES, _FRAME_BYTES = 500, 32
"""Number of bytes at the start of a unit that are parsed. The fields that are needed lie within them."""

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY_FRAME, _SWITCH_FRAME = 0, 3
_CHOSEN_BY_FRAME = 2
_DAMAGED = "the image is truncated or damaged"
_Part = TypeVar("_Part")


def coded_pixels(data: bytes) -> int:
    """Return the pixels of all frames that are decoded for the first image, with its transparency; 0 if it is no AVIF.

    Raises InvalidImage if there is no frame, or a frame without a sequence header, and ImageTooLarge above a limit.
    """
    if data[4:8] != b"ftyp":
        return 0
    try:
        pixels = _File(data).coded_pixels()
    except (struct.error, IndexError):
        raise InvalidImage(_DAMAGED) from None
    if not pixels:
        raise InvalidImage(_DAMAGED)
    return pixels


class _File:
    """The boxes of an AVIF."""

    def __init__(self, data: bytes) -> None:
        self._data, self._parts, self._copied = data, 0, 0
        self._boxes = list(self._counted(_boxes(data, 0, len(data))))

    def coded_pixels(self) -> int:
        """Return the larger count of the items and the tracks: a file with both has the same image twice."""
        return max(sum(map(self._pixels, self._items())), sum(map(self._pixels, self._first_samples())))

    def _items(self) -> Iterator[memoryview]:
        """Yield the streams of all coded images."""
        data = self._data
        metas = [(start + 4, stop) for kind, start, stop in self._boxes if kind == b"meta"]
        boxes = [box for meta in metas for box in self._counted(_boxes(data, *meta))]
        coded: set[int] = set()
        for kind, start, stop in boxes:
            if kind == b"iinf":
                infos = self._counted(_boxes(data, start + (6 if data[start] == 0 else 8), stop))
                coded.update(_coded_items(data, infos))
        if len(coded) > MAX_ITEMS:
            raise ImageTooLarge(f"the image has {len(coded):,} parts; at most {MAX_ITEMS} are allowed")
        inside = next((start for kind, start, _ in boxes if kind == b"idat"), 0)
        for kind, start, _ in boxes:
            if kind == b"iloc":
                places = self._counted(_places(data, start, inside))
                for item, pieces in itertools.groupby(places, lambda place: place[0]):
                    if item in coded:
                        yield self._joined([(at, length) for _, at, length in pieces if length])

    def _joined(self, extents: list[tuple[int, int]]) -> memoryview:
        """Return the bytes of an item. Items in several extents are copied; the copies may not exceed the file."""
        pieces = [memoryview(self._data)[at : at + length] for at, length in extents]
        if len(pieces) == 1:
            return pieces[0]
        self._copied += sum(map(len, pieces))
        if self._copied > len(self._data):
            raise InvalidImage(_DAMAGED)
        return memoryview(b"".join(pieces))

    def _first_samples(self) -> Iterator[memoryview]:
        """Yield the stream of the first image of each track."""
        for kind, start, stop in self._boxes:
            if kind != b"trak":
                continue
            tables: dict[bytes, tuple[int, int]] = {}
            for each, first, last in self._counted(_boxes(self._data, start, stop)):
                tables.setdefault(each, (first, last))
            if b"stsz" not in tables or b"av01" not in self._data[slice(*tables.get(b"stsd", (0, 0)))]:
                continue
            form, place = (">L", tables[b"stco"]) if b"stco" in tables else (">Q", tables.get(b"co64", (0, 0)))
            (at,) = struct.unpack_from(form, self._data, place[0] + 8)
            size, count = struct.unpack_from(">LL", self._data, tables[b"stsz"][0] + 4)
            if count and not size:
                (size,) = struct.unpack_from(">L", self._data, tables[b"stsz"][0] + 12)
            yield memoryview(self._data)[at : at + size]

    def _pixels(self, stream: memoryview) -> int:
        """Return the pixels of all frames of a stream."""
        sequence: _Sequence | None = None
        pixels = 0
        for kind, start, stop in self._counted(_units(stream)):
            if kind == _SEQUENCE_HEADER:
                sequence = _sequence(_Bits(stream[start : min(stop, start + _SEQUENCE_BYTES)]))
            elif kind in (_FRAME_HEADER, _FRAME) and sequence:
                pixels += _frame_pixels(_Bits(stream[start : min(stop, start + _FRAME_BYTES)]), sequence)
        if not sequence:
            raise InvalidImage("the image is damaged: a coded image has no sequence header")
        return pixels

    def _counted(self, parts: Iterable[_Part]) -> Iterator[_Part]:
        for part in parts:
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise too_many_parts(MAX_PARTS)
            yield part


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and stop of the boxes in data[start:stop], and of the boxes in their containers."""
    while start + 8 <= stop:
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        end = min(start + size, stop) if size else stop
        if size and size < head:
            raise InvalidImage(_DAMAGED)
        yield kind, start + head, end
        if kind in _CONTAINERS:
            yield from _boxes(data, start + head, end)
        start = end


def _coded_items(data: bytes, infos: Iterable[tuple[bytes, int, int]]) -> Iterator[int]:
    """Yield the ids of the AV1 images in the boxes of an item information box."""
    for kind, at, _ in infos:
        if kind == b"infe" and data[at] >= 2:
            item, _, what = struct.unpack_from(">HH4s" if data[at] == 2 else ">LH4s", data, at + 4)
            if what == b"av01":
                yield item


def _places(data: bytes, start: int, inside: int) -> Iterator[tuple[int, int, int]]:
    """Yield the item's id, offset and length of each extent of each item in an item location box.

    `inside` is the start of the item data box, to which some offsets are relative.
    """
    version, sizes, more = data[start], data[start + 4], data[start + 5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    at = start + 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(data):
            raise InvalidImage(_DAMAGED)
        return int.from_bytes(data[at - size : at], "big")

    for _ in range(number(2 if version < 2 else 4)):
        item = number(2 if version < 2 else 4)
        base = inside if version and number(2) & 15 == 1 else 0
        number(2)
        base += number(base_size)
        yield item, 0, 0  # Counts items without extents, too.
        for _ in range(number(2)):
            number(index_size)
            yield item, base + number(offset_size), number(length_size)


def _units(stream: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield kind, start and stop of the units (OBUs) of a stream."""
    at = 0
    while at < len(stream):
        head, size = stream[at], 0
        at += 2 if head & 4 else 1
        stop = len(stream)
        if head & 2:  # The size follows, with 7 bits in each byte.
            for shift in range(0, 56, 7):
                size |= (stream[at] & 127) << shift
                at += 1
                if stream[at - 1] < 128:
                    break
            stop = min(at + size, stop)
        yield head >> 3 & 15, at, stop
        at = stop


class _Bits:
    """Reads the bits of a unit, the highest bit of a byte first. Bits after its end are 0."""

    def __init__(self, unit: memoryview) -> None:
        self._bits, self._left = int.from_bytes(unit, "big"), 8 * len(unit)

    def read(self, count: int) -> int:
        self._left -= count
        shifted = self._bits >> self._left if self._left >= 0 else 0
        return shifted & ((1 << count) - 1)


@dataclass(frozen=True, slots=True)
class _Sequence:
    """The fields of a sequence header that determine the size of its frames.

    `pixels` is the size of a frame, and `most_pixels` the maximum size of a frame whose header states its size. The
    other fields determine the layout of frame headers.
    """

    pixels: int
    most_pixels: int
    reduced: bool
    time_bits: int = 0
    id_bits: int = 0
    screen_content: int = _CHOSEN_BY_FRAME
    whole_vectors: int = _CHOSEN_BY_FRAME


def _sequence(bits: _Bits) -> _Sequence:
    """Parse a sequence header (section 5.5.1) up to the last field that is needed."""
    read = bits.read
    read(4)
    reduced = bool(read(1))
    time_bits, model, delay_bits, equal_times = 0, 0, 0, 0
    if reduced:
        read(5)
    else:
        if read(1):  # timing_info
            read(64)
            equal_times = read(1)
            if equal_times:
                zeros = next((count for count in range(32) if read(1)), 32)
                read(zeros)
            model = read(1)
            if model:
                delay_bits = read(5) + 1
                read(32 + 5)
                time_bits = read(5) + 1
        initial_delay = read(1)
        for _ in range(read(5) + 1):  # operating points
            read(12)
            if read(5) > 7:
                read(1)
            if model and read(1):
                read(2 * delay_bits + 1)
            if initial_delay and read(1):
                read(4)
    width_bits, height_bits = read(4) + 1, read(4) + 1
    pixels, most = (read(width_bits) + 1) * (read(height_bits) + 1), 1 << width_bits + height_bits
    if reduced:
        return _Sequence(pixels, most, reduced)
    id_bits = 0
    if read(1):
        id_bits = read(4) + 2 + read(3) + 1
    read(3 + 4)
    if read(1):  # enable_order_hint
        read(2)
    screen_content = _CHOSEN_BY_FRAME if read(1) else read(1)
    whole_vectors = _CHOSEN_BY_FRAME
    if screen_content and not read(1):
        whole_vectors = read(1)
    return _Sequence(pixels, most, reduced, 0 if equal_times else time_bits, id_bits, screen_content, whole_vectors)


def _frame_pixels(bits: _Bits, sequence: _Sequence) -> int:
    """Return the pixels of a frame (section 5.9.2), or the maximum if the frame header states a size of its own."""
    read = bits.read
    if sequence.reduced or read(1):  # show_existing_frame
        return sequence.pixels
    kind, shown = read(2), read(1)
    read(sequence.time_bits if shown else 1)
    if kind != _SWITCH_FRAME and not (kind == _KEY_FRAME and shown):
        read(1)
    read(1)
    if (read(1) if sequence.screen_content == _CHOSEN_BY_FRAME else sequence.screen_content) and (
        sequence.whole_vectors == _CHOSEN_BY_FRAME
    ):
        read(1)
    read(sequence.id_bits)
    return sequence.most_pixels if kind == _SWITCH_FRAME or read(1) else sequence.pixels
