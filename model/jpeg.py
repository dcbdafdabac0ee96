"""What a JPEG's segments promise, read before libjpeg or Pillow act on it.

Format: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

from model.errors import ImageTooLarge

MAX_SEGMENTS = 60_000

_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
"""Not those that stand within a scan (escaped bytes, restarts), and not the one that has no segment.

Of the padding before it the last byte is enough. To look for all of it took ten times as long, and where no marker
followed the square of its length: a hundred kilobytes held a thread for a minute.
"""

_EXIF = re.compile(rb"\xff\xe1(..)Exif\x00\x00", re.DOTALL)
_END, _SCAN = b"\xd9", b"\xda"


def count_scans(data: bytes) -> int:
    """How many scans the first image of a file has. Raises ImageTooLarge for too many segments to look at.

    As libjpeg finds them: what looks like one in a thumbnail, or in the video that phones put behind a photo, is none.
    """
    scans, at = 0, 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if not found or found[1] == _END:
            return scans
        scans += found[1] == _SCAN
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    raise ImageTooLarge(f"the image has too many segments; at most {MAX_SEGMENTS:,} are read")


def exif_bytes(data: bytes) -> int:
    """How much EXIF a file can have at most: Pillow joins what stands in several segments."""
    return sum(int.from_bytes(size, "big") for size in _EXIF.findall(data))
