"""A TCP server that accepts connections and never answers, like a proxy that leads nowhere."""

from __future__ import annotations

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

    def _accept(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                self.connections.append(self._listener.accept()[0])
