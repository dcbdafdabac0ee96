"""Reads the head of an HTTP request, which is the request line and the headers: completeness, limits and syntax.

An error has a fixed text that repeats nothing of the request, because a head may hold a token. Format: RFC 9112. What
that format leaves to the receiver is rejected, so that no proxy can understand a request differently.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

LINE_BYTES = 8190
"""Maximum length of the request line in bytes, without the line break: 8 KiB with it."""

HEADERS_BYTES, FIELDS, FIELD_BYTES = 32_768, 100, 8190
"""Maximum bytes of all headers together, maximum number of headers, and maximum bytes of one header."""

_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")
"""The end of a head. A bare line feed counts as an end: the head is rejected without more data."""

_LINE = re.compile(r"([^ ]*) ([!-~]+) HTTP/(\d)\.(\d+)")
_METHOD = re.compile(r"[A-Z]{3,20}")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}(?:\.|(?=:|$)))+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
"""A host that a page may repeat: a name or an address, and a port."""

_ONCE = ("host", "content-length")
"""Headers of which a second one is an error."""


class RequestError(Exception):
    """A request that no route answers: the HTTP status and the text of the error reply."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


_LINE_TOO_LONG = RequestError(414, f"the request line is too long; at most {LINE_BYTES:,} bytes are allowed")
_LINE_MALFORMED = RequestError(
    400, "the request line is malformed; it must be METHOD TARGET HTTP/1.1, with a target in ASCII"
)
_METHOD_MALFORMED = RequestError(400, "the method is malformed; it must be 3 to 20 characters from A to Z")
_VERSION = RequestError(400, "the HTTP version is not supported; it must be HTTP/1.1 or HTTP/1.0")
_HEADERS_TOO_LARGE = RequestError(
    431,
    f"the headers are too large; at most {FIELDS} of {FIELD_BYTES:,} bytes each, "
    f"{HEADERS_BYTES:,} bytes together, are allowed",
)
_HEADER = RequestError(
    400,
    "a header is malformed; each header must be NAME: VALUE on one line that ends with CRLF, without control "
    "characters, and one header must give the length of the body: Content-Length, or Transfer-Encoding: chunked",
)
_CODING = RequestError(501, "the Transfer-Encoding is not supported; only chunked is")
_EXPECTATION = RequestError(417, "the Expect header is not supported; only 100-continue is")


@dataclass(slots=True)
class Head:
    """The head of a request.

    `fields`: the headers by their names in lower case. `length`: bytes of the body; None when it comes in chunks.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    is_http_1_0: bool
    fields: dict[str, str]
    length: int | None

    def get(self, name: str, /) -> str | None:
        """The value of a header, whose name may be in any case."""
        return self.fields.get(name.lower())

    @property
    def keeps_alive(self) -> bool:
        """Whether the sender accepts another response on this connection."""
        return not self.is_http_1_0 and "close" not in self.fields.get("connection", "").lower()

    @property
    def expects_continue(self) -> bool:
        """Whether the sender waits for a reply 100 before it sends the body."""
        return "expect" in self.fields and not self.is_http_1_0

    @property
    def root(self) -> str:
        """The address of this server, with a slash at its end; empty when the Host header is none."""
        host = self.fields.get("host")
        return f"http://{host}/" if host and _HOST.fullmatch(host) else ""


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


def parse(received: bytearray) -> Head:
    """Parse a head that is complete, and remove it from what was received. Raises RequestError."""
    start = 2 if received[:2] == b"\r\n" else 0
    end = received.find(b"\r\n\r\n", start)
    line, *lines = (received[start:end] if end >= 0 else received[start:]).decode("latin-1").split("\r\n")
    method, target, is_http_1_0 = _request_line(line)
    if end < 0:  # a bare line feed
        raise _HEADER
    fields = read_fields(lines)
    if fields.get("expect") and not is_http_1_0 and fields["expect"].lower() != "100-continue":
        raise _EXPECTATION
    path, _, query = target.partition("?")
    head = Head(
        method,
        unquote(path) if "%" in path else path,
        tuple(parse_qsl(query, keep_blank_values=True)) if query else (),
        is_http_1_0,
        fields,
        _body_length(fields, is_http_1_0),
    )
    del received[: end + 4]
    return head


def read_fields(lines: list[str]) -> dict[str, str]:
    """Parse the lines of headers or trailers. The values of a name that comes several times are joined with commas.

    Raises RequestError.
    """
    if len(lines) > FIELDS:
        raise _HEADERS_TOO_LARGE
    fields: dict[str, str] = {}
    for line in lines:
        if len(line) > FIELD_BYTES:
            raise _HEADERS_TOO_LARGE
        if not (field := _FIELD.fullmatch(line)):
            raise _HEADER
        name, value = field[1].lower(), field[2].rstrip(" \t")
        if name in fields:
            if name in _ONCE:
                raise _HEADER
            value = f"{fields[name]},{value}"
        fields[name] = value
    return fields


def _request_line(line: str) -> tuple[str, str, bool]:
    """Return the method, the target from its path on, and whether the version is HTTP/1.0."""
    if not (parts := _LINE.fullmatch(line)):
        raise _LINE_MALFORMED
    method, target, *version = parts.groups()
    if not _METHOD.fullmatch(method):
        raise _METHOD_MALFORMED
    if version not in (["1", "0"], ["1", "1"]):
        raise _VERSION
    if not target.startswith("/"):
        target = _path_of(method, target)
    return method, target, version[1] == "0"


def _path_of(method: str, target: str) -> str:
    """The path of a target that does not begin with it (RFC 9112, 3.2)."""
    if method == "CONNECT" or (method == "OPTIONS" and target == "*"):
        return target  # no route has such a path
    try:
        scheme, host, path, query, _ = urlsplit(target)
    except ValueError:
        raise _LINE_MALFORMED from None
    if scheme not in ("http", "https") or not host:
        raise _LINE_MALFORMED
    return f"{path or '/'}?{query}"  # an absolute target may have no path (RFC 9110, 4.2.3)


def _body_length(fields: dict[str, str], is_http_1_0: bool) -> int | None:
    """Bytes of the body; None when it comes in chunks. Two statements of the length would allow request smuggling."""
    length, coding = fields.get("content-length"), fields.get("transfer-encoding")
    if coding is None:
        if length is None:
            return 0
        if not _LENGTH.fullmatch(length):
            raise _HEADER
        return int(length)
    codings = Counter(each.strip().lower() for each in coding.split(","))
    if not codings.keys() <= {"chunked", "identity"}:
        raise _CODING
    if length is not None or is_http_1_0 or codings != {"chunked": 1}:
        raise _HEADER
    return None
