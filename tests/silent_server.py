"""A TCP server that accepts connections and never answers, like a proxy that leads nowhere."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import Self


class SilentServer:
    """Listens on a port of its own, from entering to leaving. `connections`: those that it accepted."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listener, *self.connections):
            each.close()

    def proxied(self) -> list[bytes]:
        """The requests to connect elsewhere or to pass on, as a proxy gets them.

        Others are for a server of another test that had this port before.
        """
        sent = [_received(each) for each in self.connections]
        return [each for each in sent if each.startswith(b"CONNECT ") or b" http" in each.partition(b"\r\n")[0]]

    def _accept(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                self.connections.append(self._listener.accept()[0])


PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def proxied_environment(server: SilentServer) -> dict[str, str]:
    """Return the environment of a child process whose proxy is `server`.

    This process keeps its own: threads that earlier tests left would use the proxy too.
    """
    direct = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
    without = {name: value for name, value in os.environ.items() if name not in direct}
    return {**without, **dict.fromkeys(PROXY_NAMES, f"http://{server.host}")}


def _received(connection: socket.socket) -> bytes:
    connection.settimeout(0.5)
    with suppress(TimeoutError):
        return connection.recv(1000, socket.MSG_PEEK)
    return b""
