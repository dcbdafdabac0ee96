"""Text for people: an exception in one line, and untrusted text with its control characters escaped."""

from __future__ import annotations

import logging

from client.images import Image
from model.text import printable

__all__ = ["SendError", "StoreError", "brief", "plain", "printable", "shown"]

log = logging.getLogger(__name__)

_MAX_ERROR_LENGTH = 300
"""Characters of an exception's text: four lines of a terminal."""

_MAX_CELL_LENGTH = 1_000
"""Characters of a table cell. A table pads every row to its longest cell, so one long cell enlarges all rows."""

_LIBRARIES = frozenset({"google", "grpc", "requests", "urllib3"})
"""Packages whose messages are not shown: they are long, hold JSON or HTML, and were not written for this program."""

_REASONS = {
    "NotFound": "{what} does not exist",
    "Unauthorized": "the credentials are missing or expired: gcloud auth application-default login",
    "GoogleAuthError": "the credentials are missing or expired: gcloud auth application-default login",
    "Forbidden": "your account may not use {what}",
    "TooManyRequests": "a quota of the project is used up",
    "Conflict": "{what} is changed by another program, or exists already",
    "BadRequest": "{what} is refused as invalid",
    "ServiceUnavailable": "no answer",
    "GatewayTimeout": "no answer in time",
    "RetryError": "no answer in time",
    "ServerError": "the service failed",
    "RequestException": "no answer",
}
"""Reasons by the name of an exception's class or of a base class of it."""


_LASTING = frozenset({"NotFound", "Unauthorized", "GoogleAuthError", "Forbidden", "BadRequest"})
"""Exceptions, also as base classes, that another try brings again."""


class SendError(Exception):
    """An image cannot be sent. The message names the reason and, where there is one, the remedy.

    `temporary`: a later try may succeed. `for_all`: no other image of the command can be sent either.
    """

    def __init__(self, message: str, *, temporary: bool = False, for_all: bool = False) -> None:
        super().__init__(message)
        self.temporary, self.for_all = temporary, for_all

    @classmethod
    def of_call(cls, what: str, exc: BaseException, resource: str) -> SendError:
        """Return the error of a failed call to Google. `what` failed; `resource` names what the call was for."""
        names = {each.__name__ for each in type(exc).__mro__}
        lasts = bool(names & _LASTING)
        return cls(f"{what}: {plain(exc, resource)}", temporary=not lasts, for_all=lasts and "BadRequest" not in names)


class StoreError(OSError):
    """The job store cannot be read or written. A command then sends nothing more."""


def plain(exc: BaseException, what: str = "it") -> str:
    """Return an exception's text in one line of at most 300 characters. `what` names what the failed call was for.

    The message of a library is replaced by a reason in the words of this program. The option --debug shows it.
    """
    log.debug("%s", what, exc_info=exc)
    if isinstance(exc, SendError | StoreError):
        return printable(str(exc))[:_MAX_ERROR_LENGTH]
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror[0].lower() + exc.strerror[1:]
    # google.api_core's RetryError only reports the time-out. Its cause is the error that was retried.
    exc = getattr(exc, "cause", None) or exc
    text = _reason(exc, what) if type(exc).__module__.partition(".")[0] in _LIBRARIES else str(exc).strip()
    first = text.splitlines()[0] if text else ""
    return printable(f"{type(exc).__name__}: {first}".rstrip(": "))[:_MAX_ERROR_LENGTH]


def _reason(exc: BaseException, what: str) -> str:
    if getattr(exc, "reason", None) == "SERVICE_DISABLED":
        return "the service is not enabled in the project"
    reasons = (_REASONS[each.__name__] for each in type(exc).__mro__ if each.__name__ in _REASONS)
    return next(reasons, "an unexpected error; --debug shows it").format(what=what)


def brief(text: str) -> str:
    """Return a response's text, safe to print and cut to _MAX_CELL_LENGTH."""
    return printable(text if len(text) <= _MAX_CELL_LENGTH else text[: _MAX_CELL_LENGTH - 1] + "…")


def shown(image: Image) -> str:
    """Return an image's path, safe to print."""
    return printable(image.location)
