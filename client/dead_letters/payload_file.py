"""Saves the payload of a dead letter. Names that a sender chose are never used as a path."""

from __future__ import annotations

import re
from pathlib import Path

from client.dead_letters.dead_letter import DeadLetter

_KINDS = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"BM", ".bmp"),
    (b"{", ".json"),
)
"""The first bytes of a payload, and the ending of its file."""


def save_payload(dead_letter: DeadLetter, place: Path) -> Path:
    """Write the payload to a new file: `place`, or in the folder `place` one named after the message's id.

    Returns its path. Raises OSError, among others for a file or link that exists: nothing is replaced.
    """
    path = place / _name(dead_letter) if place.is_dir() else place
    file = path.open("xb")
    try:
        with file:
            file.write(dead_letter.data)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _name(dead_letter: DeadLetter) -> str:
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", dead_letter.message_id)[:100]
    return stem + next((ending for start, ending in _KINDS if dead_letter.data.startswith(start)), ".bin")
