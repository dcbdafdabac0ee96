"""Checks the head of an HTTP request: whether it is complete, within the limits, and well formed (RFC 9112).

Every error is a sentence of this project that quotes nothing of the request: a head may hold a token.
"""

from __future__ import annotations

import re

from gunicorn.http import errors
from gunicorn.http.message import Request

LINE_BYTES = 8190
"""Most bytes of a request line, without its CRLF: 8 KiB with it."""

HEADERS_BYTES, FIELDS, FIELD_BYTES = 32_768, 100, 8190
"""Most bytes of all headers together, most headers, and most bytes of one of them."""

_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")
"""The end of a head. A bare line feed ends it too: the parser refuses it without the rest."""


class Refused(Exception):
    """A request that the server refuses: an HTTP status and a sentence for its sender."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


_LINE_TOO_LONG = Refused(414, f"the request line is too long; at most {LINE_BYTES:,} bytes are allowed")
_HEADERS_TOO_LARGE = Refused(
    431,
    f"the headers are too large; at most {FIELDS} of {FIELD_BYTES:,} bytes each, "
    f"{HEADERS_BYTES:,} bytes together, are allowed",
)
_CODING = Refused(501, "the Transfer-Encoding is not supported; only chunked is")
_VERSION = Refused(400, "the version of HTTP is not supported; it must be HTTP/1.1 or HTTP/1.0")
_MALFORMED = Refused(400, "the request is malformed; it must be HTTP/1.1 or HTTP/1.0")
_HEADER = Refused(
    400,
    "a header is malformed; each is NAME: VALUE on one line that ends with CRLF, without control characters, and the "
    "length of the body is given once, by Content-Length or by Transfer-Encoding: chunked",
)
_REFUSALS: tuple[tuple[type[Exception], Refused], ...] = (
    (errors.LimitRequestLine, _LINE_TOO_LONG),
    (errors.LimitRequestHeaders, _HEADERS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, _CODING),
    (errors.ExpectationFailed, Refused(417, "the Expect header is not supported; only 100-continue is")),
    (
        errors.InvalidRequestLine,
        Refused(400, "the request line is malformed; it must be METHOD TARGET HTTP/1.1, with a target in ASCII"),
    ),
    (errors.InvalidRequestMethod, Refused(400, "the method is malformed; it must be 3 to 20 characters of A-Z")),
    (errors.InvalidHTTPVersion, _VERSION),
    (errors.InvalidHeader, _HEADER),
    (errors.InvalidHeaderName, _HEADER),
    (errors.ObsoleteFolding, _HEADER),
    (errors.ParseException, _MALFORMED),
    (OSError, _MALFORMED),  # the parser read beyond the head: the head is malformed
)


def is_whole(head: bytes | bytearray, searched: int = 0) -> bool:
    """Whether this head is complete. `searched`: bytes that an earlier call examined. Raises Refused."""
    start = 2 if head[:2] == b"\r\n" else 0  # one empty line may come first (RFC 9112, 2.2)
    line = head.find(b"\r\n", start, start + LINE_BYTES + 2)
    if line < 0 and len(head) >= start + LINE_BYTES + 2:
        raise _LINE_TOO_LONG
    if end := _END.search(head, max(start, searched - 3)):
        if end.start() - line > HEADERS_BYTES:
            raise _HEADERS_TOO_LARGE
        return True
    if len(head) > start + LINE_BYTES + HEADERS_BYTES:
        raise _HEADERS_TOO_LARGE
    return line >= 0 and b" HTTP/1." not in head[:line]  # HTTP/0.9 or another protocol: it has no headers


def check(request: Request) -> None:
    """Refuse requests that the parser accepts and this server does not support. Raises Refused."""
    if request.version > (1, 1):
        raise _VERSION
    codings = [value for name, value in request.headers if name == "TRANSFER-ENCODING"]
    if codings and [value.lower() for value in codings] != ["chunked"]:
        raise _CODING


def refusal(failure: Exception) -> Refused | None:
    """The refusal for a request that could not be parsed; None when the failure is not the sender's."""
    if isinstance(failure, Refused):
        return failure
    return next((refused for kind, refused in _REFUSALS if isinstance(failure, kind)), None)
