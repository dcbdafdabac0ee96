"""Responses: built completely before they are sent, on a connection or as part of a batch's response."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, BinaryIO

# Statuses without a body.
_BARE = frozenset({204, 304})


class Refusal(Exception):
    """A request is refused, and its changes are rolled back. `reason` is the cloud's error reason."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


@dataclass(slots=True)
class Answer:
    """A status, headers and a body, or `length` bytes of a file starting at `first`."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    file: BinaryIO | None = None
    first: int = 0
    length: int = 0

    @classmethod
    def of(cls, given: Answer | Mapping[str, Any] | None) -> Answer:
        """The response for a handler's result: a response, a JSON object, or None."""
        if isinstance(given, Answer):
            return given
        if given is None:
            return cls(status=204)
        return cls(json.dumps(given).encode(), headers={"Content-Type": "application/json; charset=UTF-8"})

    @classmethod
    def refusal(cls, status: int, message: str, reason: str = "") -> Answer:
        """An error in the format of the cloud, or a 304 without a body."""
        if status == HTTPStatus.NOT_MODIFIED:
            return cls(status=status)
        answer = cls(status=status)
        detail = {"domain": "global", "reason": reason or answer.phrase, "message": message}
        whole = cls.of({"error": {"code": status, "message": message, "errors": [detail]}})
        whole.status = status
        return whole

    @property
    def phrase(self) -> str:
        """The reason phrase of the status."""
        # In this API 308 has another meaning than in HTTP; 499 is Google's own.
        known = {308: "Resume Incomplete", 499: "Client Closed Request"}
        return known.get(self.status) or HTTPStatus(self.status).phrase

    def close(self) -> None:
        """Close the file."""
        if self.file:
            self.file.close()

    def send(self, handler: BaseHTTPRequestHandler, pause_s: float = 0.0) -> None:
        """Send the response, a small one in one write. With `pause_s`, pause before the second half of the body."""
        size = self.length if self.file else len(self.content)
        handler.send_response(self.status, self.phrase)
        if self.status not in _BARE:
            self.headers.setdefault("Content-Length", str(size))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        head = b"".join([*handler._headers_buffer, b"\r\n"])  # type: ignore[attr-defined]
        handler._headers_buffer = []  # type: ignore[attr-defined]
        if self.status in _BARE or handler.command == "HEAD":
            size = 0
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
