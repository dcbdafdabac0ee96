"""A stranger's text, made harmless to print or to say back. Standard library only: every floor may import it."""

from __future__ import annotations

import json


def whole(text: str) -> str:
    """Text whose half characters (lone surrogates), which JSON can carry and no protocol can send on, are `?`."""
    return text.encode("utf-8", "replace").decode()


def printable(text: str) -> str:
    """Text without control characters, line breaks, direction marks or half characters: they are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """The same of each line."""
    return "\n".join(map(printable, text.split("\n")))


def quoted(value: object) -> str:
    """A sender's value in quotes, short enough to say back."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= 80 else text[:77] + "...")
