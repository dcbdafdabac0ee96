"""GET /health of the pull worker: it has no other door. Standard library only, imported where HEALTH_ADDRESS is set."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from functions.settings import SettingsError

_CLIENT_TIMEOUT_S = 5.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    report: Callable[[], tuple[bool, dict[str, Any]]]


class _Door(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_TIMEOUT_S

    def do_GET(self) -> None:
        if self.path != "/health":
            self.send_error(404)
            return
        well, report = self.server.report()
        body = json.dumps(report).encode()
        self.send_response(200 if well else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a probe asks every few seconds."""


@contextmanager
def answering(address: str, report: Callable[[], tuple[bool, dict[str, Any]]]) -> Iterator[None]:
    """Answer GET /health on `address:port` until the block ends: 200 or 503, and JSON. Raises SettingsError."""
    host, _, port = address.rpartition(":")
    try:
        server = _Server((host, int(port)), _Door)
    except (OSError, OverflowError) as exc:
        raise SettingsError(f"HEALTH_ADDRESS is {address!r}; nothing can listen there ({exc})") from exc
    server.report = report
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
