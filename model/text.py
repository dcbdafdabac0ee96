"""Escapes untrusted text for output. Standard library only, so that every module may import it."""

from __future__ import annotations

import json


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


def quoted(value: object) -> str:
    """Quote an untrusted value for a message, shortened to 80 characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= 80 else text[:77] + "...")
