"""What a TIFF's directory promises, read before Pillow or libtiff act on it: both believe it.

Format: "TIFF, Revision 6.0" (Adobe, 1992), section 2, and BigTIFF. A few bytes list millions of strips, each an object
in Pillow; a tile may be far larger than the image that it belongs to, and libtiff unpacks it whole.
"""

from __future__ import annotations

import struct

from model.errors import ImageTooLarge

MAX_PARTS = 65_536
"""Strips or tiles: more than an image within the limits on pixels and edges ever needs."""

_TILE_WIDTH, _TILE_LENGTH = 322, 323
_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
_NUMBERS = {3: "H", 4: "L", 13: "L", 16: "Q"}
"""The types that hold whole numbers without a sign, as `struct` names them."""


def check_directory(data: bytes, max_pixels: int) -> None:
    """Raise ImageTooLarge when the first directory lists too many parts or too large a tile; no TIFF passes.

    Damage is not judged here: what cannot be read passes, and Pillow refuses it.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if not order:
        return
    big = data[2:4] in (b"\x2b\x00", b"\x00\x2b")
    where, count, entry = ("Q", "Q", "HHQ8s") if big else ("L", "H", "HHL4s")
    width = length = 0
    try:
        (start,) = struct.unpack_from(order + where, data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + count, data, start)
        start += struct.calcsize(order + count)
        for number in range(min(entries, MAX_PARTS)):
            tag, kind, values, value = struct.unpack_from(order + entry, data, start + number * (20 if big else 12))
            if tag in (_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS) and values > MAX_PARTS:
                raise ImageTooLarge(f"the image has {values:,} strips or tiles; at most {MAX_PARTS:,} are allowed")
            if tag in (_TILE_WIDTH, _TILE_LENGTH) and kind in _NUMBERS:
                (edge,) = struct.unpack_from(order + _NUMBERS[kind], value)
                width, length = (max(width, edge), length) if tag == _TILE_WIDTH else (width, max(length, edge))
    except (struct.error, OverflowError):
        return
    if width * length > max_pixels:
        raise ImageTooLarge(f"the image has tiles of {width}x{length} pixels; at most {max_pixels:,} are allowed")
