"""Words for people: an exception in one line, and a stranger's text made harmless."""

from __future__ import annotations

from client.image_files import Picture
from model.text import printable

__all__ = ["Unsendable", "brief", "plain", "printable", "shown"]

_LONGEST = 300
_BRIEF = 1_000
"""Characters of a cell: a table pads every row to its longest one."""


class Unsendable(Exception):
    """A picture cannot be sent as things are; the sentence says what to do."""


def plain(exc: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(exc, Unsendable):
        return printable(str(exc))
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror[0].lower() + exc.strerror[1:]
    # google.api_core's RetryError says when it gave up; its cause says on what.
    exc = getattr(exc, "cause", None) or exc
    text = str(getattr(exc, "message", None) or exc).strip()
    first = text.splitlines()[0] if text else ""
    return printable(f"{type(exc).__name__}: {first}".rstrip(": ")[:_LONGEST])


def brief(text: str) -> str:
    """A response's text as it may be printed, its end cut off where it is very long."""
    return printable(text if len(text) <= _BRIEF else text[: _BRIEF - 1] + "…")


def shown(picture: Picture) -> str:
    """A picture's path as it may be printed."""
    return printable(str(picture.path))
