"""Serves the page with uvicorn until Ctrl-C or SIGTERM."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable

import uvicorn

from client.gcp import UsageError
from client.loopback import keep_from_proxies
from client.web.app import application
from client.web.page import Page
from client.web.settings import Settings
from model.text import printable


class _Server(uvicorn.Server):
    """Ends the streams of events first: uvicorn would wait for them."""

    def __init__(self, config: uvicorn.Config, close: Callable[[], None]) -> None:
        super().__init__(config)
        self._close = close

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._close()
        await super().shutdown(sockets)


def serve(settings: Settings, state: str | None, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until a signal ends it. `port` 0 takes a free one; `say` gets the address. Raises UsageError."""
    keep_from_proxies(os.environ)
    with _listening(host, port) as listening, Page(settings, state) as page:
        app = application(page, host)
        config = uvicorn.Config(
            app, lifespan="off", log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=5
        )
        found = listening.getsockname()
        if not (settings.iap or _is_loopback(found[0])):
            say(f"warning: {host} may be reached from other machines, and the page asks for no password")
        name = f"[{found[0]}]" if ":" in found[0] else found[0]
        name = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(name, name)  # nosec B104  # shown, not listened on
        say(f"the page is at http://{name}:{found[1]}/  (Ctrl-C ends it)")
        _Server(config, page.events.close).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "no such address"
        raise UsageError(
            f"the page cannot listen on {printable(host)} port {port}: {reason}; --port 0 takes a free port"
        ) from None


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
