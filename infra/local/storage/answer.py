"""Responses: built completely before they are sent, on a connection or as part of a batch's response."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, BinaryIO
from xml.sax.saxutils import escape  # nosec B406  # writes XML, and reads none

# Statuses without a body.
_BARE = frozenset({204, 304})

# What the name and the value of a header may be (RFC 9110, 5.1 and 5.5). A line break would start another header.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

# The codes of the XML API for a status.
_XML_CODES = {
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "BucketAlreadyExists",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    416: "InvalidRange",
    429: "SlowDown",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}


@functools.lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


@functools.lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Refusal(Exception):
    """A request is refused, and its changes rolled back. `reason`, `code`: its names in the JSON and the XML API."""

    def __init__(self, status: int, message: str, reason: str = "", code: str = "") -> None:
        super().__init__(message)
        self.status, self.reason, self.code = status, reason, code


@dataclass(slots=True)
class Answer:
    """A status, headers and a body, or `length` bytes of a file starting at `first`.

    `broken_after`: after how many bytes of the body the connection is reset; -1 for before the response.
    """

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    file: BinaryIO | None = None
    first: int = 0
    length: int = 0
    broken_after: int | None = None

    @classmethod
    def of(cls, given: Answer | Mapping[str, Any] | None) -> Answer:
        """The response for a handler's result: a response, a JSON object, or None."""
        if isinstance(given, Answer):
            return given
        if given is None:
            return cls(status=204)
        return cls(json.dumps(given).encode(), headers={"Content-Type": "application/json; charset=UTF-8"})

    @classmethod
    def refusal(cls, status: int, message: str, reason: str = "", code: str = "") -> Answer:
        """An error in the format of the cloud, or a 304 without a body."""
        if status == HTTPStatus.NOT_MODIFIED:
            return cls(status=status)
        answer = cls(status=status)
        detail = {"domain": "global", "reason": reason or answer.phrase, "message": message}
        whole = cls.of({"error": {"code": status, "message": message, "errors": [detail]}})
        whole.status = status
        return whole

    @classmethod
    def xml_refusal(cls, status: int, message: str, reason: str = "", code: str = "") -> Answer:
        """An error in the format of the XML API."""
        if status == HTTPStatus.NOT_MODIFIED:
            return cls(status=status)
        code = code or _XML_CODES.get(status, "InternalError")
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        headers = {"Content-Type": "application/xml; charset=UTF-8"}
        return cls(f"<?xml version='1.0' encoding='UTF-8'?>{text}".encode(errors="replace"), status, headers)

    @classmethod
    def text_refusal(cls, status: int, message: str, reason: str = "", code: str = "") -> Answer:
        """An error of a download through the JSON API, which the cloud answers with plain text."""
        if status == HTTPStatus.NOT_MODIFIED:
            return cls(status=status)
        return cls(message.encode(errors="replace"), status, {"Content-Type": "text/plain; charset=UTF-8"})

    @property
    def phrase(self) -> str:
        """The reason phrase of the status."""
        # In this API 308 has another meaning than in HTTP; 499 is Google's own.
        known = {308: "Resume Incomplete", 499: "Client Closed Request"}
        return known.get(self.status) or HTTPStatus(self.status).phrase

    def header_lines(self) -> bytes:
        """The headers as they are sent, in UTF-8 as in the cloud. One that HTTP cannot carry is left out."""
        sendable = [
            f"{name}: {value}\r\n"
            for name, value in self.headers.items()
            if ((value.isascii() and value.isprintable()) or _VALUE.fullmatch(value)) and _is_name(name)
        ]
        return "".join(sendable).encode(errors="replace")

    def close(self) -> None:
        """Close the file."""
        if self.file:
            self.file.close()

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self.length if self.file else len(self.content)

    def head(self) -> bytes:
        """The status line and the headers, with the empty line after them."""
        if self.status not in _BARE:
            self.headers.setdefault("Content-Length", str(self.size))
        first = f"HTTP/1.1 {self.status} {self.phrase}\r\nDate: {_date(int(time.time()))}\r\n"
        return first.encode() + self.header_lines() + b"\r\n"

    def send(self, handler: BaseHTTPRequestHandler, head: bytes, pause_s: float = 0.0) -> None:
        """Send the response, a small one in one write. With `pause_s`, pause before the second half of the body."""
        size = 0 if self.status in _BARE or handler.command == "HEAD" else self.size
        if self.broken_after is not None:
            size = min(size, self.broken_after)
        half = size // 2 if pause_s else size
        handler.wfile.write(head if self.file else head + self.content[:half])
        self._send_file(handler, 0, half)
        if pause_s:
            time.sleep(pause_s)
            handler.wfile.write(self.content[half:size])
            self._send_file(handler, half, size - half)

    def _send_file(self, handler: BaseHTTPRequestHandler, skip: int, length: int) -> None:
        if self.file and length:
            handler.connection.sendfile(self.file, self.first + skip, length)
