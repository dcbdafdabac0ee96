"""Reads the head of an HTTP request, which is the request line and the headers: completeness and limits.

httptools parses it: llhttp, the strict parser of Node.js. An error has a fixed text that repeats nothing of the
request, because a head may hold a token. Format: RFC 9112.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

LINE_BYTES = 8190
"""Maximum length of the request line in bytes, without the line break: 8 KiB with it."""

HEADERS_BYTES, FIELDS, FIELD_BYTES = 32_768, 100, 8190
"""Maximum bytes of all headers together, maximum number of headers, and maximum bytes of one header."""

_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")
"""The end of a head. A bare line feed counts as an end: the head is rejected without more data."""

_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}(?:\.|(?=:|$)))+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
"""A host that a page may repeat: a name or an address, and a port."""


class RequestError(Exception):
    """A request that no route answers: the HTTP status and the text of the error reply."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


_LINE_TOO_LONG = RequestError(414, f"the request line is too long; at most {LINE_BYTES:,} bytes are allowed")
_LINE_MALFORMED = RequestError(
    400, "the request line is malformed; it must be METHOD TARGET HTTP/1.1, with a target in ASCII"
)
_METHOD_MALFORMED = RequestError(400, "the method is unknown; it must be a method of HTTP, such as GET or POST")
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


class Message:
    """What the parser has read of a request; the parser calls its methods. Raises RequestError."""

    def __init__(self) -> None:
        self.target = ""
        self.fields: dict[str, str] = {}
        """The headers by their names in lower case. The values of a name that comes several times are joined."""
        self.pieces: list[bytes] = []
        """Pieces of the body that were not taken yet."""
        self.is_complete = False
        self._count = 0

    def on_url(self, target: bytes) -> None:
        """Take the target, in ASCII."""
        if not target.isascii():
            raise _LINE_MALFORMED
        self.target += target.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which is ignored."""
        self._count += 1
        if self._count > FIELDS or len(name) + len(value) > FIELD_BYTES:
            raise _HEADERS_TOO_LARGE
        key, text = name.decode().lower(), value.decode("latin-1")
        if key in self.fields:
            if key == "host":
                raise _HEADER
            text = f"{self.fields[key]},{text}"
        self.fields[key] = text

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if not self.is_complete:
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """Take the end of the request."""
        self.is_complete = True


@dataclass(slots=True)
class Head:
    """The head of a request.

    `fields`: the headers by their names in lower case. `length`: bytes of the body; None when it comes in chunks, which
    `parser` reads into `message`.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    is_http_1_0: bool
    fields: dict[str, str]
    length: int | None
    message: Message
    parser: HttpRequestParser

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
    end = received.find(b"\r\n\r\n", start) + 4
    message = Message()
    parser = HttpRequestParser(message)
    try:
        if received[start : start + 2] == b"\r\n":
            raise _LINE_MALFORMED
        parser.feed_data(received[start : end if end > 3 else None])
        method, version = parser.get_method().decode(), parser.get_http_version()
    except HttpParserUpgrade:
        method, version = parser.get_method().decode(), parser.get_http_version()
    except HttpParserInvalidMethodError:
        raise _METHOD_MALFORMED from None
    except HttpParserInvalidURLError:
        raise _LINE_MALFORMED from None
    except HttpParserError as exc:
        if isinstance(exc.__context__, RequestError):
            raise exc.__context__ from None
        raise _VERSION if "version" in str(exc) else _HEADER if message.target else _LINE_MALFORMED from None
    if end < 4:  # the head ends with a bare line feed, which the parser rejects if it reads on
        raise _HEADER if message.target else _LINE_MALFORMED
    target, fields = message.target, message.fields
    if not target.startswith("/"):
        target = _path_of(method, target)
    is_http_1_0 = version == "1.0"
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
        message,
        parser,
    )
    del received[:end]
    return head


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
    """Bytes of the body; None when it comes in chunks. The parser rejects requests that state both, or two lengths."""
    coding = fields.get("transfer-encoding")
    if coding is None:
        return int(fields.get("content-length", "0"))
    codings = Counter(each.strip().lower() for each in coding.split(","))
    if not codings.keys() <= {"chunked", "identity"}:
        raise _CODING
    if is_http_1_0 or codings != {"chunked": 1}:
        raise _HEADER
    return None
