"""Validates the head of an HTTP request, which is the request line and the headers: completeness, limits and syntax.

An error has a fixed text that repeats nothing of the request, because a head may hold a token. Format: RFC 9112.
"""

from __future__ import annotations

import re

from gunicorn.http import errors
from gunicorn.http.message import Request

LINE_BYTES = 8190
"""Maximum length of the request line in bytes, without the line break: 8 KiB with it."""

HEADERS_BYTES, FIELDS, FIELD_BYTES = 32_768, 100, 8190
"""Maximum bytes of all headers together, maximum number of headers, and maximum bytes of one header."""

_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")
"""The end of a head. A bare line feed counts as an end: the parser rejects it without more data."""


class RequestError(Exception):
    """A request that no thread answers: the HTTP status and the text of the error reply."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


_LINE_TOO_LONG = RequestError(414, f"the request line is too long; at most {LINE_BYTES:,} bytes are allowed")
_HEADERS_TOO_LARGE = RequestError(
    431,
    f"the headers are too large; at most {FIELDS} of {FIELD_BYTES:,} bytes each, "
    f"{HEADERS_BYTES:,} bytes together, are allowed",
)
_CODING = RequestError(501, "the Transfer-Encoding is not supported; only chunked is")
_VERSION = RequestError(400, "the HTTP version is not supported; it must be HTTP/1.1 or HTTP/1.0")
_MALFORMED = RequestError(400, "the request is malformed; it must be HTTP/1.1 or HTTP/1.0")
_HEADER = RequestError(
    400,
    "a header is malformed; each header must be NAME: VALUE on one line that ends with CRLF, without control "
    "characters, and one header must give the length of the body: Content-Length, or Transfer-Encoding: chunked",
)
_ERRORS: tuple[tuple[type[Exception], RequestError], ...] = (
    (errors.LimitRequestLine, _LINE_TOO_LONG),
    (errors.LimitRequestHeaders, _HEADERS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, _CODING),
    (errors.ExpectationFailed, RequestError(417, "the Expect header is not supported; only 100-continue is")),
    (
        errors.InvalidRequestLine,
        RequestError(400, "the request line is malformed; it must be METHOD TARGET HTTP/1.1, with a target in ASCII"),
    ),
    (
        errors.InvalidRequestMethod,
        RequestError(400, "the method is malformed; it must be 3 to 20 characters from A to Z"),
    ),
    (errors.InvalidHTTPVersion, _VERSION),
    (errors.InvalidHeader, _HEADER),
    (errors.InvalidHeaderName, _HEADER),
    (errors.ObsoleteFolding, _HEADER),
    (errors.ParseException, _MALFORMED),
    (OSError, _MALFORMED),  # the parser tried to read beyond the head, so the end that was found is not its end
)


def is_complete(head: bytes | bytearray, searched: int = 0) -> bool:
    """Return whether the head can be parsed. Earlier calls searched the first `searched` bytes. Raises RequestError."""
    start = 2 if head[:2] == b"\r\n" else 0  # one empty line may precede a request (RFC 9112, 2.2)
    line = head.find(b"\r\n", start, start + LINE_BYTES + 2)
    if line < 0 and len(head) >= start + LINE_BYTES + 2:
        raise _LINE_TOO_LONG
    if end := _END.search(head, max(start, searched - 3)):
        if end.start() - line > HEADERS_BYTES:
            raise _HEADERS_TOO_LARGE
        return True
    if len(head) > start + LINE_BYTES + HEADERS_BYTES:
        raise _HEADERS_TOO_LARGE
    return line >= 0 and b" HTTP/1." not in head[:line]  # HTTP/0.9 or another protocol: no headers follow


def check(request: Request) -> None:
    """Raise RequestError for an HTTP version or a transfer coding that the parser accepts and this server does not."""
    if request.version > (1, 1):
        raise _VERSION
    codings = [value for name, value in request.headers if name == "TRANSFER-ENCODING"]
    if codings and [value.lower() for value in codings] != ["chunked"]:
        raise _CODING


def request_error(failure: Exception) -> RequestError | None:
    """Return the error reply for a parser's exception, or None when the sender did not cause the failure."""
    if isinstance(failure, RequestError):
        return failure
    return next((error for kind, error in _ERRORS if isinstance(failure, kind)), None)
