"""Waits until sockets are ready, or until another thread or a signal wakes the waiting thread."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import suppress

from functions.entrypoints.connections import Connection

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Poller:
    """The sockets of a listener and of its connections."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._wakes, self._woken = socket.socketpair()
        self._is_awake = True
        self._selector = selectors.DefaultSelector()
        for sock in (listener, self._wakes, self._woken):
            sock.setblocking(False)
        self._selector.register(listener, READ)
        self._selector.register(self._wakes, READ)

    def fileno(self) -> int:
        """The file descriptor for signal.set_wakeup_fd."""
        return self._woken.fileno()

    def wake(self) -> None:
        """Let `ready` return. Callable from any thread."""
        if not self._is_awake:
            self._is_awake = True
            with suppress(BlockingIOError):  # the buffer is full of bytes that wake it
                self._woken.send(b"\0")

    def sleep(self) -> None:
        """Take calls of `wake` from now on. Call it before the last check whether `ready` must wait."""
        self._is_awake = False

    def ready(self, timeout_s: float | None) -> Iterator[Connection | None]:
        """Wait, and yield each connection whose socket is ready, and None for the listener."""
        events = self._selector.select(timeout_s)
        self._is_awake = True
        for key, _ in events:
            if key.fileobj is self._wakes:
                self._wakes.recv(4096)
            else:
                yield key.data

    def watch(self, connection: Connection, events: int) -> None:
        """Wait for READ or WRITE, or with 0 for nothing."""
        if events == connection.events:
            return
        if not events:
            self._selector.unregister(connection.socket)
        elif connection.events:
            self._selector.modify(connection.socket, events, connection)
        else:
            self._selector.register(connection.socket, events, connection)
        connection.events = events

    def close_listener(self) -> None:
        """Accept no more connections."""
        self._selector.unregister(self._listener)
        self._listener.close()
