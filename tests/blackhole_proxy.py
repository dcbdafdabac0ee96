"""A TCP proxy that can drop all traffic while its connections stay open."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

_CHUNK = 65536


class BlackholeProxy:
    """A TCP proxy on a port of its own to `host` (address:port), from entering to leaving."""

    def __init__(self, host: str) -> None:
        address, _, port = host.rpartition(":")
        self._to = address, int(port)
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def swallow(self) -> None:
        """From now on what is sent disappears; new connections are accepted, and lead nowhere too."""
        self._open.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if self._open.is_set():
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)
