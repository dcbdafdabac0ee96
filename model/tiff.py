"""What a TIFF's directory promises, read before Pillow or libtiff act on it: both believe it.

Format: "TIFF, Revision 6.0" (Adobe, 1992), section 2, and BigTIFF. A few bytes list millions of strips, each an object
in Pillow; a tile may be far larger than the image that it belongs to, and libtiff unpacks it whole.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress

from model.errors import ImageTooLarge, UnsupportedFormat

MAX_PARTS = 65_536
"""Strips or tiles: more than an image within the limits on pixels and edges ever needs."""

MAX_FRACTIONS = 1_000
"""Of one entry. Pillow makes an object of each, which takes it a hundred times as long as a number."""

_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 322, 323
_COMPRESSION, _JPEG = 259, 7
_PROGRESSIVE = re.compile(rb"\xff[\xc2\xca]\x00[\x0b\x0e\x11\x14]\x08")
"""A frame of 8 bits, up to four components (ITU-T T.81, annex B). TIFF allows none; libtiff reads a hundred scans."""

_ORDERS = {b"II": "<", b"MM": ">"}
_NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q"}
"""The types that hold whole numbers, as `struct` names them."""

_BYTES, _FRACTIONS = {1, 2, 6, 7}, {5, 10}


def check_directory(data: bytes, max_pixels: int) -> None:
    """Raise ImageTooLarge when the first directory lists too many parts or too large tiles; no TIFF passes.

    UnsupportedFormat when progressive JPEGs are in it. Damage is not judged here: Pillow refuses what cannot be read.
    """
    if data[:2] not in _ORDERS:
        return
    edges, jpegs = dict.fromkeys((_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH), 0), False
    with suppress(struct.error, OverflowError):
        for tag, kind, count, number in _entries(data):
            allowed = MAX_FRACTIONS if kind in _FRACTIONS else MAX_PARTS
            if count > allowed and kind not in _BYTES:
                raise ImageTooLarge(f"the image has {count:,} strips, tiles or others; at most {allowed:,} are allowed")
            if tag in edges:
                edges[tag] = max(edges[tag], number)
            jpegs |= (tag, number) == (_COMPRESSION, _JPEG)
    if jpegs and _PROGRESSIVE.search(data):
        raise UnsupportedFormat("the image is a TIFF of progressive JPEGs; allowed are those of baseline ones")
    width, length, across, down = edges.values()
    if across * down > max_pixels:
        raise ImageTooLarge(f"the image has tiles of {across}x{down} pixels; at most {max_pixels:,} are allowed")
    if across > 0 and down > 0 and (covered := _up(width, across) * _up(length, down)) > 2 * max_pixels:
        raise ImageTooLarge(f"the image's tiles have {covered:,} pixels; at most {2 * max_pixels:,} are allowed")


def _entries(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, how many values, and the first of them, where it is a whole number; as far as the file goes."""
    order = _ORDERS[data[:2]]
    big = data[2:4] in (b"\x2b\x00", b"\x00\x2b")
    where, count, entry = ("Q", "Q", "HHQ") if big else ("L", "H", "HHL")
    head, room = struct.calcsize(order + entry), 8 if big else 4
    (start,) = struct.unpack_from(order + where, data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + count, data, start)
    start += struct.calcsize(order + count)
    for place in range(start, start + min(entries, MAX_PARTS) * (head + room), head + room):
        tag, kind, values = struct.unpack_from(order + entry, data, place)
        number, at = 0, place + head
        if form := _NUMBERS.get(kind):
            if values * struct.calcsize(order + form) > room:
                (at,) = struct.unpack_from(order + where, data, at)
            with suppress(struct.error, OverflowError):  # what lies beyond the file is nothing, and others follow
                (number,) = struct.unpack_from(order + form, data, at)
        yield tag, kind, values, number


def _up(edge: int, part: int) -> int:
    """An edge in whole parts."""
    return -(-edge // part) * part
