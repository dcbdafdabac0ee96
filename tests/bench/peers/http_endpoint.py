"""The HTTP client of all peers: one connection a thread, kept as long as the server keeps it."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from infra.local.child import Child

PATIENCE_S = 120.0
_POLL_S = 0.005
_NOT_YET = (404, 502, 503)
"""What servers say before what they serve is there."""

_BOUNDARY = "an-image-of-the-bench"

Wrap = Callable[[bytes], tuple[str, bytes]]
"""A content type and a body, of an image."""


def raw(image: bytes) -> tuple[str, bytes]:
    """The image itself."""
    return "application/octet-stream", image


def in_json(image: bytes) -> tuple[str, bytes]:
    """A field of a JSON object, in base64."""
    return "application/json", json.dumps({"image": base64.b64encode(image).decode()}).encode()


def form(image: bytes) -> tuple[str, bytes]:
    """A file of a form."""
    disposition = 'form-data; name="images"; filename="image"'
    head = f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    return f"multipart/form-data; boundary={_BOUNDARY}", head + image + f"\r\n--{_BOUNDARY}--\r\n".encode()


class HttpEndpoint:
    """POST /predict of a server on this machine; a context manager. Threads may share it."""

    def __init__(self, port: int, wrap: Wrap) -> None:
        self._port, self._wrap = port, wrap
        self._own = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def first(self, server: Child, image: bytes) -> Mapping[str, Any]:
        """The first answer of a server that is starting. Raises ChildFailed, TimeoutError."""
        give_up = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < give_up:
            server.check()
            try:
                status, body = self._post(image)
            except (ConnectionError, http.client.HTTPException):
                self._own.connection.close()
                time.sleep(_POLL_S)
                continue
            if status not in _NOT_YET:
                return _answer(status, body)
            time.sleep(_POLL_S)
        raise TimeoutError(f"nothing was answered on port {self._port} within {PATIENCE_S:g} s")

    def ask(self, image: bytes) -> Mapping[str, Any]:
        """What is to be seen in an image. Raises OSError for any status but 200."""
        return _answer(*self._post(image))

    def _post(self, image: bytes) -> tuple[int, bytes]:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
            self._all.append(self._own.connection)
        content_type, body = self._wrap(image)
        self._own.connection.request("POST", "/predict", body, {"Content-Type": content_type})
        response = self._own.connection.getresponse()
        return response.status, response.read()

    def __enter__(self) -> HttpEndpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._all:
            connection.close()


def _answer(status: int, body: bytes) -> Mapping[str, Any]:
    if status != 200:
        raise OSError(f"the server answered {status}: {body[:300].decode(errors='replace')}")
    said = json.loads(body)
    found: Mapping[str, Any] = said[0] if isinstance(said, list) else said  # BentoML answers a batch, of one
    return found
