"""Texts for people and from people: escaped, shortened, decoded. Standard library only, so that every module may import
it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Collection
from pathlib import Path

MAX_MESSAGE = 300
"""Characters of a message: four lines of a terminal."""

_MAX_REASON = 120
"""Characters of a library's own words inside a message of this project."""


def whole(text: str) -> str:
    """Replace lone surrogates, which JSON can express but UTF-8 cannot encode, with `?`."""
    return text.encode("utf-8", "replace").decode()


def printable(text: str) -> str:
    """Escape control characters, line breaks, direction marks and lone surrogates."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Apply `printable` to each line."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int = MAX_MESSAGE) -> str:
    """Escape a text and cut it to `most` characters, the last of which then is an ellipsis."""
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def reason(exc: BaseException) -> str:
    """Return the first line of a library's error, escaped, without its full stop, in at most 120 characters.

    An error without a text is named by its type.
    """
    first = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")
    return shortened(first.rstrip(".") or type(exc).__name__, _MAX_REASON)


def quoted(value: object) -> str:
    """Quote an untrusted value for a message, shortened to 80 characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= 80 else text[:77] + "...")


def listed(names: Collection[str], most: int = 10) -> str:
    """Return names for a message, sorted and separated by commas: `a, b and 3 others`."""
    shown, others = ", ".join(sorted(names)[:most]), len(names) - most
    return shown if others <= 0 else f"{shown} and {others:,} others"


def size_text(size: int) -> str:
    """Return a number of bytes: `999 B`, `1.2 kB`, `9.9 MB`."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 999_950 else f"{size / 1e6:.1f} MB"


def decode_text(data: bytes) -> str:
    """Decode the bytes of a text file that people write: UTF-8, with or without a byte order mark.

    Raises ValueError, which names the first byte that is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        marks = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
        found = "UTF-16" if data.startswith(marks) else f"the byte 0x{data[exc.start]:02x} at position {exc.start:,}"
        raise ValueError(f"it is not UTF-8 text ({found}); save it as UTF-8") from None


def read_text(path: Path) -> str:
    """Read a text file that people write; see `decode_text`. Line ends become `\\n`. Raises OSError, ValueError."""
    return decode_text(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")
