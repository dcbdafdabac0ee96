"""An HTTP endpoint that records pushes and answers with configured statuses."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True, slots=True)
class Push:
    """One request: when it came (seconds, monotonic), its path, headers in lower case, body, and that read as JSON."""

    at: float
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body


class Endpoint:
    """Answers the statuses in `statuses` one after the other, and repeats the last one; keeps connections open."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.pushes: list[Push] = []
        self.connections = 0
        self.busy = self.most_at_once = 0
        self.delay_s = 0.0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, push: Push) -> int:
        """Note a push; gives the status to answer."""
        with self._lock:
            self.pushes.append(push)
            self.busy += 1
            self.most_at_once = max(self.most_at_once, self.busy)
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        time.sleep(self.delay_s)
        with self._lock:
            self.busy -= 1
        return status

    def __enter__(self) -> Endpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def has(self, count: int) -> bool:
        """Whether at least this number of pushes has arrived."""
        return len(self.pushes) >= count


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    endpoint: Endpoint


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.endpoint.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.endpoint.answer(Push(time.monotonic(), self.path, headers, body))
        self.send_response(status)
        if status >= 200:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
