"""Estimates the cost of decoding a TIFF from its first directory, because Pillow and libtiff trust the directory.

A few bytes can list millions of strips, and Pillow makes an object of each. A tile can be far larger than its image,
and libtiff decompresses the whole tile. A strip can be a JPEG of a hundred scans, and no time limit applies in libtiff.
Format: "TIFF, Revision 6.0" (Adobe, 1992), sections 2, 10, 11, 15 and 22, and BigTIFF.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.images.jpeg import MAX_SEGMENTS, Jpeg, read_jpeg
from model.images.limits import Limits, check_coefficients, check_scanned

MAX_PARTS = 65_536
"""Maximum number of strips or tiles: more than an image within the limits on pixels and edges needs."""

MAX_FRACTIONS = 1_000
"""Maximum number of fractions in one entry. Pillow makes an object of each, which takes a hundred times as long as a
number.
"""

MAX_COLOURS = 3 * 65_536
"""Maximum number of values in a colour map: those of a palette of 16 bits."""

MAX_COEFFICIENT_BYTES = 100_000_000
"""Maximum bytes of memory for the coefficients of a JPEG. libtiff has the same limit, but reports it like damage."""

MAX_UNPACKED_BYTES = 200_000_000
"""Maximum bytes of a decompressed strip or tile: 16 million pixels of six samples of 16 bits."""

_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 322, 323
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANES = 258, 259, 262, 277, 278, 284
_FILL_ORDER, _COLOUR_MAP, _INKS, _EXTRA, _FORMAT, _SUBSAMPLING = 266, 320, 332, 338, 339, 530
_OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
_READ = {
    *(_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _PLANES),
    *(_OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS),
    *(_PHOTOMETRIC, _FILL_ORDER, _INKS, _EXTRA, _FORMAT, _SUBSAMPLING),
}

_UNCOMPRESSED, _OLD_JPEG, _JPEG = 1, 6, 7
_YCBCR = 6
_OLD_SCAN = re.compile(rb"\xff\xda")

_ORDERS = {b"II": "<", b"MM": ">"}
_NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q", 18: "Q"}
"""The types that hold whole numbers, as `struct` names them."""

_BYTES, _FRACTIONS = {1, 2, 6, 7}, {5, 10}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type."""

_SHARED_BYTES = 65_536
"""Number of bytes by which the values of a directory may exceed the file, because entries may share values."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A strip or a tile: the bytes data[start:stop], and its size in pixels."""

    start: int
    stop: int
    width: int
    height: int


def check_directory(data: bytes, limits: Limits) -> int:
    """Return the bytes of memory that libtiff takes for one strip or tile; 0 if the file is no TIFF that it reads.

    Raises ImageTooLarge if the first directory exceeds the limits, UnsupportedFormat for progressive JPEGs, and
    InvalidImage if strips or tiles hold too little data for their pixels. Pillow detects most other damage.
    """
    if data[:2] not in _ORDERS:
        return 0
    tags: dict[int, tuple[int, ...]] = {}
    values_bytes = 0
    with suppress(struct.error, OverflowError):
        for tag, kind, count, values in _entries(data):
            allowed = MAX_FRACTIONS if kind in _FRACTIONS else MAX_COLOURS if tag == _COLOUR_MAP else MAX_PARTS
            if count > allowed and (kind not in _BYTES or tag in _READ):
                raise ImageTooLarge(f"the image has {count:,} strips, tiles or others; at most {allowed:,} are allowed")
            values_bytes += count * _SIZES.get(kind, 0)
            if values_bytes > (most := len(data) + _SHARED_BYTES):  # libtiff reads all values
                raise ImageTooLarge(f"the image's tags have {values_bytes:,} bytes; at most {most:,} are allowed")
            if tag in _READ and tags.setdefault(tag, values) != values:
                raise InvalidImage(f"the image is damaged: its directory has two values for tag {tag}")
    _check_tiles(tags, limits.max_pixels)
    compression = _first(tags, _COMPRESSION, _UNCOMPRESSED)
    parts = list(_parts(tags, len(data)))
    read_by_libtiff = _first(tags, _PLANES, 1) != 1 or _first(tags, _PHOTOMETRIC, 0) == _YCBCR
    if not parts or (compression == _UNCOMPRESSED and not read_by_libtiff):
        return 0
    if (held := sum(part.stop - part.start for part in parts)) > limits.max_bytes:
        raise ImageTooLarge(
            f"the image's strips or tiles have {held:,} bytes; at most {limits.max_bytes:,} are allowed together"
        )
    if compression == _JPEG:
        return _unpacked(tags, parts[0]) + _check_jpegs(data, parts, limits)
    if compression == _OLD_JPEG:
        return _unpacked(tags, parts[0]) + _check_old_jpeg(data, tags, limits)
    return _unpacked(tags, parts[0])


def _check_tiles(tags: dict[int, tuple[int, ...]], max_pixels: int) -> None:
    width, length, across, down = (_first(tags, tag, 0) for tag in (_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH))
    if across * down > max_pixels:
        raise ImageTooLarge(f"the image has tiles of {across}x{down} pixels; at most {max_pixels:,} are allowed")
    if across > 0 and down > 0 and (covered := _up(width, across) * _up(length, down)) > 2 * max_pixels:
        raise ImageTooLarge(f"the image's tiles have {covered:,} pixels; at most {2 * max_pixels:,} are allowed")


def _check_jpegs(data: bytes, parts: list[_Part], limits: Limits) -> int:
    """Return the bytes of memory for coefficients. libtiff decodes each strip and tile, even if many share bytes."""
    known: dict[tuple[int, int], Jpeg] = {}
    segments, scanned = MAX_SEGMENTS, 0
    for part in parts:
        place = part.start, part.stop
        if place not in known:
            known[place] = read_jpeg(data, *place, max_segments=segments)
            segments -= known[place].segments
        jpeg = known[place]
        if jpeg.progressive:
            raise UnsupportedFormat("the image is a TIFF of progressive JPEGs; allowed are those of baseline ones")
        scanned += jpeg.scans * max(jpeg.width * jpeg.height, part.width * part.height)
    check_scanned(scanned, limits)
    coefficients = max(jpeg.coefficient_bytes for jpeg in known.values())
    check_coefficients(coefficients, MAX_COEFFICIENT_BYTES)
    if any(jpeg.starved for jpeg in known.values()):
        raise InvalidImage("the image is truncated: a strip or tile has too little data for its pixels")
    return coefficients


def _check_old_jpeg(data: bytes, tags: dict[int, tuple[int, ...]], limits: Limits) -> int:
    """Return the bytes of memory for coefficients in an old-style JPEG, whose parts may lie anywhere in the file.

    libtiff decodes it in one scan, or in one scan for each component if each component has a plane of its own.
    """
    samples = _first(tags, _SAMPLES, 3)
    pixels = _first(tags, _WIDTH, 0) * _first(tags, _LENGTH, 0)
    check_scanned(pixels * len(_OLD_SCAN.findall(data)), limits)
    coefficients = 2 * samples * pixels if _first(tags, _PLANES, 1) != 1 else 0
    check_coefficients(coefficients, MAX_COEFFICIENT_BYTES)
    return coefficients


def _parts(tags: dict[int, tuple[int, ...]], size: int) -> Iterator[_Part]:
    """Yield the strips or tiles as libtiff finds them. One without a length may extend to the file's end."""
    width, length = _first(tags, _WIDTH, 0), _first(tags, _LENGTH, 0)
    tiled = _TILE_WIDTH in tags or _TILE_LENGTH in tags
    across = _first(tags, _TILE_WIDTH, width) if tiled else width
    down = _first(tags, _TILE_LENGTH, length) if tiled else min(_first(tags, _ROWS, length), length)
    offsets = tags.get(_OFFSETS, ()) + tags.get(_TILE_OFFSETS, ())
    counts = tags.get(_COUNTS, ()) + tags.get(_TILE_COUNTS, ())
    if _OFFSETS in tags and _TILE_OFFSETS in tags:
        raise InvalidImage("the image is damaged: it has both strips and tiles")
    strips = max(1, -(-length // down)) if down > 0 else 1
    for number, start in enumerate(offsets):
        count = counts[number] if number < len(counts) else 0
        start = min(max(0, start), size)
        stop = min(start + count, size) if count > 0 else size
        rows = down if tiled else min(down, length - number % strips * down)
        yield _Part(start, stop, across, rows)


def _unpacked(tags: dict[int, tuple[int, ...]], part: _Part) -> int:
    """Return the bytes of a decompressed strip or tile; libtiff's own conversions take four bytes for each pixel."""
    samples = _first(tags, _SAMPLES, 1) if _first(tags, _PLANES, 1) == 1 else 1
    unpacked = part.width * part.height * max(4, samples * -(-_first(tags, _BITS, 1) // 8))
    if unpacked > MAX_UNPACKED_BYTES:
        raise ImageTooLarge(
            f"a strip or tile of the image has {unpacked:,} bytes unpacked; at most {MAX_UNPACKED_BYTES:,} are allowed"
        )
    return max(0, unpacked)


def _entries(data: bytes) -> Iterator[tuple[int, int, int, tuple[int, ...]]]:
    """Yield tag, type, number of values and values of each entry, up to the end of the file.

    The values are empty unless the tag is in _READ and they are whole numbers.
    """
    order = _ORDERS[data[:2]]
    big = data[2:4] in (b"\x2b\x00", b"\x00\x2b")
    where, count, entry = ("Q", "Q", "HHQ") if big else ("L", "H", "HHL")
    head, width = struct.calcsize(order + entry), 8 if big else 4
    (start,) = struct.unpack_from(order + where, data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + count, data, start)
    start += struct.calcsize(order + count)
    for place in range(start, start + min(entries, MAX_PARTS) * (head + width), head + width):
        tag, kind, number = struct.unpack_from(order + entry, data, place)
        values: tuple[int, ...] = ()
        if (form := _NUMBERS.get(kind)) and tag in _READ and number <= MAX_PARTS:
            at, size = place + head, struct.calcsize(order + form)
            if number * size > width:
                (at,) = struct.unpack_from(order + where, data, at)
            with suppress(struct.error, OverflowError):  # The values may lie beyond the end of the file.
                values = struct.unpack_from(f"{order}{min(number, max(0, len(data) - at) // size)}{form}", data, at)
        yield tag, kind, number, values


def _first(tags: dict[int, tuple[int, ...]], tag: int, default: int) -> int:
    values = tags.get(tag, ())
    return values[0] if values else default


def _up(edge: int, part: int) -> int:
    """Round an edge up to whole parts."""
    return -(-edge // part) * part
