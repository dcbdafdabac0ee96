"""A proxy in front of a Kafka broker that hides requests which older brokers do not know."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

API_VERSIONS, INIT_PRODUCER_ID = 18, 22
SHARE_GROUPS = (76, 77, 78, 79)
"""The kinds of requests of share groups, which brokers have since Kafka 4.2, by the numbers of Kafka's protocol."""


@contextmanager
def older(port: int, to: str, hidden: Collection[int]) -> Iterator[None]:
    """A proxy on a port of loopback to the broker `to`, `host:port`, which does not offer the hidden requests."""
    with ExitStack() as sockets, socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=_accept, args=(server, to, frozenset(hidden), sockets), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(server: socket.socket, to: str, hidden: frozenset[int], sockets: ExitStack) -> None:
    host, _, port = to.partition(":")
    while True:
        try:
            client = sockets.enter_context(server.accept()[0])
        except OSError:  # the end
            return
        broker = sockets.enter_context(socket.create_connection((host, int(port))))
        versions: dict[int, int] = {}
        for job in (_requests, client, broker, versions), (_responses, broker, client, versions, hidden):
            threading.Thread(target=job[0], args=job[1:], daemon=True).start()


def _requests(client: socket.socket, broker: socket.socket, versions: dict[int, int]) -> None:
    """Pass requests on. `versions`: of each question for the kinds of requests, by its number."""
    for frame in _frames(client):
        kind, version, number = struct.unpack_from(">hhi", frame)
        if kind == API_VERSIONS:
            versions[number] = version
        _send(broker, frame)
    _end(broker)


def _responses(broker: socket.socket, client: socket.socket, versions: dict[int, int], hidden: frozenset[int]) -> None:
    for frame in _frames(broker):
        version = versions.pop(struct.unpack_from(">i", frame)[0], None)
        _send(client, frame if version is None else _without(frame, version, hidden))
    _end(client)


def _without(frame: bytes, version: int, hidden: frozenset[int]) -> bytes:
    """A response to API_VERSIONS without the hidden kinds: from version 3 on, arrays are compact and have tags."""
    is_compact = version >= 3
    start, size = 6, 7 if is_compact else 6
    count, width = _compact_length(frame, start) if is_compact else (struct.unpack_from(">i", frame, start)[0], 4)
    entries = [frame[start + width + size * number :][:size] for number in range(count)]
    kept = [entry for entry in entries if struct.unpack_from(">h", entry)[0] not in hidden]
    length = _varint(len(kept) + 1) if is_compact else struct.pack(">i", len(kept))
    return frame[:start] + length + b"".join(kept) + frame[start + width + size * count :]


def _compact_length(frame: bytes, start: int) -> tuple[int, int]:
    """The length of a compact array, and the bytes that state it."""
    value = width = 0
    while True:
        byte = frame[start + width]
        value |= (byte & 0x7F) << (7 * width)
        width += 1
        if byte < 0x80:
            return value - 1, width


def _varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _frames(source: socket.socket) -> Iterator[bytes]:
    """The messages of a connection, until it is closed."""
    with suppress(OSError), source.makefile("rb") as stream:  # a connection that is reset ends too
        while len(head := stream.read(4)) == 4:
            yield stream.read(struct.unpack(">i", head)[0])


def _send(target: socket.socket, frame: bytes) -> None:
    with suppress(OSError):  # the other side is gone
        target.sendall(struct.pack(">i", len(frame)) + frame)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)
