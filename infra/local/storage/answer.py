"""What a request is answered with, whole, before any of it is sent: on the wire, or as a part of a batch's answer."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

_BARE = frozenset({204, 304})


class Answer:
    """A status, headers and a body; what the package's handlers fill in."""

    def __init__(self) -> None:
        self.status: int = HTTPStatus.OK
        self.headers: dict[str, str] = {}
        self.content = b""

    def __setitem__(self, name: str, value: str) -> None:
        self.headers[name] = value

    def json(self, body: Any) -> None:
        """Answer with JSON."""
        self["Content-Type"] = "application/json; charset=UTF-8"
        self.content = json.dumps(body).encode()

    def write(self, text: str) -> None:
        """Add text to the body."""
        self.content += text.encode()

    def write_file(self, content: bytes, content_type: str | None = None) -> None:
        """Answer with bytes."""
        self["Content-Type"] = content_type or "application/octet-stream"
        self.content = content

    def refuse(self, status: int, message: str, reason: str = "") -> None:
        """Answer with an error in the cloud's form, or with a bare 304."""
        self.status, self.headers, self.content = status, {}, b""
        if status != HTTPStatus.NOT_MODIFIED:
            told = {"domain": "global", "reason": reason or self.phrase, "message": message}
            self.json({"error": {"code": status, "message": message, "errors": [told]}})

    @property
    def phrase(self) -> str:
        """The words for the status."""
        # 308 has another meaning here than on the web; 499 is Google's own.
        known = {308: "Resume Incomplete", 499: "Client Closed Request"}
        return known.get(self.status) or HTTPStatus(self.status).phrase

    def send(self, handler: BaseHTTPRequestHandler, pause_s: float = 0.0) -> None:
        """Write it to a connection in one piece, or with a pause before the second half of the body."""
        handler.send_response(self.status, self.phrase)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        if self.status not in _BARE:
            handler.send_header("Content-Length", str(len(self.content)))
        head = b"".join([*handler._headers_buffer, b"\r\n"])  # type: ignore[attr-defined]
        handler._headers_buffer = []  # type: ignore[attr-defined]
        body = b"" if self.status in _BARE else self.content
        if pause_s:
            half = len(body) // 2
            handler.wfile.write(head + body[:half])
            time.sleep(pause_s)
            handler.wfile.write(body[half:])
        else:
            handler.wfile.write(head + body)
