"""Estimates the memory for the prefix codes of a lossless WebP from the bits before its pixels.

A lossless image has groups of pixels with five prefix codes each. libwebp builds the tables of all groups before it
decodes a pixel. The number of groups is known only after the small images before the pixels have been read: those of
the transforms, and the image that assigns a group to each block of pixels.
Format: RFC 9649, sections 2 and 3. Memory: libwebp, vp8l_dec.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.errors import ImageTooLarge, InvalidImage
from model.images.limits import too_many_parts

MAX_CHUNKS = 60_000
"""Maximum number of chunks that are read, because Python reads them one by one. A frame has two or three."""

MAX_GROUPS = 2_600
"""Maximum number of groups of prefix codes: the maximum that libwebp's encoder makes."""

_FEW_GROUPS, _LEAST_BLOCK, _LEAST_BITS = 1_000, 2, 20
"""If an image cannot have more than _FEW_GROUPS groups, the maximum is assumed and the bits are not read. A group takes
at least 20 bits and a block of 4x4 pixels (2 bits of each edge).
"""

MAX_BLOCKS = 150_000
"""Maximum number of pixels in the small images that are read, without copied pixels. Each takes a microsecond. For an
image within the limit on pixels, libwebp's encoder writes at most a third as many.
"""

_TABLE_BYTES, _TABLES, _LARGEST_CACHE = 4, 2_956, 1 << 11
"""Bytes of a table entry, entries of a group's tables without a cache, and the maximum number of colours of a cache.
Each colour adds an entry.
"""

_GROUP_BYTES = 600
"""Bytes of a group without its tables."""

_LENGTHS_IN_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_REPEATS = {16: (2, 3), 17: (3, 3), 18: (7, 11)}
"""Codes for a repeated length: the number of extra bits, and the minimum number of repeats."""

_LITERALS, _LENGTHS = 256, 24
_DAMAGED = "the image is truncated or damaged"

_Code = tuple[int, list[tuple[int, int]]]
"""A prefix code: a mask for the next bits of the stream, and a table from these bits to a symbol and its length."""


def prefix_code_bytes(data: bytes) -> int:
    """Return the bytes of memory for the prefix codes of the first frame; 0 if the file is no lossless WebP.

    Raises ImageTooLarge for too many groups, and InvalidImage if the bits before the pixels are damaged.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return 0
    return sum(_Stream(data[start:stop], size).prefix_code_bytes() for start, stop, size in _streams(data))


def exif_bytes(data: bytes) -> int:
    """Return the bytes of EXIF in a WebP."""
    return sum(length for kind, _, length in _chunks(data) if kind == b"EXIF")


def _streams(data: bytes) -> Iterator[tuple[int, int, tuple[int, int] | None]]:
    """Yield start, stop and size of the lossless streams of the first frame.

    The size is in pixels, or None if the stream states it. The transparency of a lossy image does not.
    """
    size, transparent = (0, 0), False
    for kind, start, length in _chunks(data):
        if kind == b"ANMF":
            size = _size(data, start + 6), _size(data, start + 9)
        elif kind == b"VP8X":
            size = _size(data, start + 4), _size(data, start + 7)
        elif kind == b"ALPH" and data[start : start + 1] and data[start] & 3 == 1:
            if transparent:
                raise InvalidImage(_DAMAGED)
            transparent = True
            yield start + 1, start + length, size
        elif kind in (b"VP8L", b"VP8 "):
            if kind == b"VP8L":
                yield start, start + length, None
            return


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and length of the chunks, including those in the frames of an animation."""
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        kind, start, length = data[at : at + 4], at + 8, int.from_bytes(data[at + 4 : at + 8], "little")
        yield kind, start, length
        at = start + 16 if kind == b"ANMF" else start + length + length % 2  # A frame's chunks follow its 16 bytes.
    raise too_many_parts(MAX_CHUNKS)


def _size(data: bytes, at: int) -> int:
    return 1 + int.from_bytes(data[at : at + 3], "little")


class _Stream:
    """Reads the bits of a lossless image, the lowest bit of a byte first. A few bytes after its end read as 0.

    `_word` holds the next `_held` bits of the stream.
    """

    def __init__(self, data: bytes, size: tuple[int, int] | None) -> None:
        self._data, self._at = data, 0
        self._word = self._held = self._blocks_read = 0
        if size is None:
            if self._read(8) != 0x2F:
                raise InvalidImage(_DAMAGED)
            size = 1 + self._read(14), 1 + self._read(14)
            self._read(4)
        self._width, self._height = size

    def prefix_code_bytes(self) -> int:
        """Return the bytes of memory for the prefix codes of the image."""
        blocks = _parts(self._width, _LEAST_BLOCK) * _parts(self._height, _LEAST_BLOCK)
        most = min(blocks, 1 + 8 * len(self._data) // _LEAST_BITS)
        if most <= _FEW_GROUPS:
            return _group_bytes(_LARGEST_CACHE) * most
        seen = set()
        while self._read(1):
            kind = self._read(2)
            if kind in seen:
                raise InvalidImage(_DAMAGED)
            seen.add(kind)
            if kind == 3:
                colours = 1 + self._read(8)
                self._small_image(colours, 1)
                self._width = _parts(self._width, 0 if colours > 16 else 1 if colours > 4 else 2 if colours > 2 else 3)
            elif kind != 2:
                self._blocks()
        cache = self._cache()
        groups = 1 + self._blocks() if self._read(1) else 1
        if groups > MAX_GROUPS:
            raise ImageTooLarge(f"the image has {groups:,} groups of prefix codes; at most {MAX_GROUPS:,} are allowed")
        return _group_bytes(cache) * groups

    def _blocks(self) -> int:
        """Read an image that has one pixel for each block of the main image. Returns like `_small_image`."""
        bits = 2 + self._read(3)
        return self._small_image(_parts(self._width, bits), _parts(self._height, bits))

    def _small_image(self, width: int, height: int) -> int:
        """Read a small image before the pixels. Returns its largest pixel, as the 16-bit number of red and green."""
        cache = self._cache()
        green = self._code(_LITERALS + _LENGTHS + cache)
        red, blue, alpha, distance = (self._code(size) for size in (_LITERALS, _LITERALS, _LITERALS, 40))
        others = [code for code in (blue, alpha) if code[0]]
        missing, largest = width * height, 0
        while missing > 0:
            self._blocks_read += 1
            if self._blocks_read > MAX_BLOCKS:
                raise ImageTooLarge(f"the image has more than {MAX_BLOCKS:,} blocks of pixels")
            symbol = self._symbol(green)
            missing -= 1
            if symbol < _LITERALS:
                largest = max(largest, self._symbol(red) << 8 | symbol)
                for code in others:
                    self._symbol(code)
            elif symbol < _LITERALS + _LENGTHS:  # A copy of earlier pixels, whose numbers are known.
                missing -= self._prefixed(symbol - _LITERALS) - 1
                self._prefixed(self._symbol(distance))
        return largest

    def _cache(self) -> int:
        """Read the number of colours in the cache, which are additional symbols for green."""
        if not self._read(1):
            return 0
        bits = self._read(4)
        if not 1 <= bits <= 11:
            raise InvalidImage(_DAMAGED)
        return 1 << bits

    def _prefixed(self, symbol: int) -> int:
        """Read a length or a distance, which is a symbol and extra bits."""
        if symbol < 4:
            return symbol + 1
        extra = (symbol - 2) >> 1
        return ((2 + symbol % 2) << extra) + self._read(extra) + 1

    def _code(self, symbols: int) -> _Code:
        lengths = [0] * max(symbols, _LITERALS)
        if self._read(1):
            several, wide = self._read(1), self._read(1)
            lengths[self._read(8 if wide else 1)] = 1
            if several:
                lengths[self._read(8)] = 1
            return _table(lengths[:symbols])
        length_lengths = [0] * len(_LENGTHS_IN_ORDER)
        for symbol in _LENGTHS_IN_ORDER[: 4 + self._read(4)]:
            length_lengths[symbol] = self._read(3)
        code = _table(length_lengths)
        left = 2 + self._read(2 + 2 * self._read(3)) if self._read(1) else symbols
        symbol, last = 0, 8
        while symbol < symbols and left:
            left -= 1
            length = self._symbol(code)
            bits, least = _REPEATS.get(length, (0, 1))
            times = least + self._read(bits)
            if length < 16:
                last = length or last
            else:
                length = last if length == 16 else 0
            lengths[symbol : symbol + times] = [length] * times
            symbol += times
        if symbol > symbols:
            raise InvalidImage(_DAMAGED)
        return _table(lengths[:symbols])

    def _symbol(self, code: _Code) -> int:
        mask, table = code
        if self._held < 32:
            self._fill()
        symbol, bits = table[self._word & mask]
        self._word >>= bits
        self._held -= bits
        return symbol

    def _read(self, bits: int) -> int:
        if self._held < 32:
            self._fill()
        number = self._word & ((1 << bits) - 1)
        self._word >>= bits
        self._held -= bits
        return number

    def _fill(self) -> None:
        if self._at > len(self._data):
            raise InvalidImage(_DAMAGED)
        self._word |= int.from_bytes(self._data[self._at : self._at + 16], "little") << self._held
        self._held += 128
        self._at += 16


def _group_bytes(cache: int) -> int:
    return _GROUP_BYTES + _TABLE_BYTES * (_TABLES + cache)


def _table(lengths: list[int]) -> _Code:
    """Build a canonical prefix code from the number of bits of each symbol. A single symbol takes no bits."""
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if len(used) == 1:
        return 0, [(used[0][1], 0)]
    if not used or sum(1 << 15 - length for length, _ in used) != 1 << 15:
        raise InvalidImage(_DAMAGED)
    most, word, before = used[-1][0], 0, 0
    table = [(0, 0)] * (1 << most)
    for length, symbol in used:
        word <<= length - before
        before = length
        turned = int(f"{word:0{length}b}"[::-1], 2)
        table[turned :: 1 << length] = [(symbol, length)] * (1 << most - length)
        word += 1
    return (1 << most) - 1, table


def _parts(edge: int, bits: int) -> int:
    return -(-edge >> bits)
