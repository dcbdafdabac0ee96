"""Text for people: an exception in one line, and untrusted text with its control characters escaped."""

from __future__ import annotations

from client.image_files import ImageFile
from model.text import printable

__all__ = ["SendError", "brief", "plain", "printable", "shown"]

_MAX_ERROR_LENGTH = 300
"""Characters of an exception's text: four lines of a terminal."""

_MAX_CELL_LENGTH = 1_000
"""Characters of a table cell. A table pads every row to its longest cell, so one long cell enlarges all rows."""


class SendError(Exception):
    """An image cannot be sent. The message names the reason and, where there is one, the remedy."""


def plain(exc: BaseException) -> str:
    """Return an exception's text in one line."""
    if isinstance(exc, SendError):
        return printable(str(exc))
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror[0].lower() + exc.strerror[1:]
    # google.api_core's RetryError only reports the time-out. Its cause is the error that was retried.
    exc = getattr(exc, "cause", None) or exc
    text = str(getattr(exc, "message", None) or exc).strip()
    first = text.splitlines()[0] if text else ""
    return printable(f"{type(exc).__name__}: {first}".rstrip(": ")[:_MAX_ERROR_LENGTH])


def brief(text: str) -> str:
    """Return a response's text, safe to print and cut to _MAX_CELL_LENGTH."""
    return printable(text if len(text) <= _MAX_CELL_LENGTH else text[: _MAX_CELL_LENGTH - 1] + "…")


def shown(image: ImageFile) -> str:
    """Return an image's path, safe to print."""
    return printable(str(image.path))
