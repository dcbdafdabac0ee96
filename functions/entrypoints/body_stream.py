"""The body of an HTTP request as a stream over its connection, for bodies that a thread reads. Format: RFC 9112."""

from __future__ import annotations

import re
import socket
from typing import Protocol

from functions.entrypoints.request_head import FIELD_BYTES, read_fields

_READ_BYTES = 65_536
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~]*)?")
"""The line before a chunk: its size, and an extension, which is ignored."""

_TRAILERS = 100
"""Maximum number of trailers, which are ignored."""

_FRAMING = {"content-length", "transfer-encoding", "host"}
"""Headers that must not be trailers: another receiver might read the request differently."""


class BodyStream(Protocol):
    """A body; blocks if the socket does."""

    @property
    def is_at_end(self) -> bool:
        """Whether all of it was read, so that the next request may follow."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` more bytes; none at the end. Raises ValueError, or OSError of the socket."""
        ...


class _Source:
    """The bytes that a connection has received, and its socket for more of them."""

    def __init__(self, received: bytearray, sock: socket.socket) -> None:
        self._received, self._socket = received, sock

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none when the sender sends no more."""
        if not self._received:
            self._receive()
        piece = bytes(self._received[:size])
        del self._received[:size]
        return piece

    def line(self) -> bytes:
        """Return a line without its CRLF. Raises ValueError when it is too long or incomplete."""
        while (end := self._received.find(b"\r\n")) < 0:
            if len(self._received) > FIELD_BYTES or not self._receive():
                raise ValueError("the line has no end")
        if end > FIELD_BYTES:
            raise ValueError("the line is too long")
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        return line

    def _receive(self) -> int:
        data = self._socket.recv(_READ_BYTES)
        self._received += data
        return len(data)


class SizedBody:
    """A body of a known length in bytes."""

    def __init__(self, received: bytearray, sock: socket.socket, length: int) -> None:
        self._source, self._left = _Source(received, sock), length

    @property
    def is_at_end(self) -> bool:
        return not self._left

    def read(self, size: int = -1, /) -> bytes:
        piece = self._source.read(self._left if size < 0 else min(size, self._left)) if self._left else b""
        self._left -= len(piece)
        return piece


class ChunkedBody:
    """A body in chunks, each after its size."""

    def __init__(self, received: bytearray, sock: socket.socket) -> None:
        self._source = _Source(received, sock)
        self._left = -1
        """Bytes of the current chunk that are not read; -1 before the first chunk."""
        self._is_at_end = False

    @property
    def is_at_end(self) -> bool:
        return self._is_at_end

    def read(self, size: int = -1, /) -> bytes:
        if self._left <= 0 and not self.is_at_end:
            self._begin_chunk()
        if self.is_at_end:
            return b""
        piece = self._source.read(self._left if size < 0 else min(size, self._left))
        if not piece:
            raise ValueError("the chunk is incomplete")
        self._left -= len(piece)
        return piece

    def _begin_chunk(self) -> None:
        if self._left == 0 and self._source.line():
            raise ValueError("the chunk is longer than its size")
        if not (line := _CHUNK_LINE.fullmatch(self._source.line())):
            raise ValueError("the size of a chunk is malformed")
        self._left = int(line[1], 16)
        if not self._left:
            self._skip_trailers()
            self._is_at_end = True

    def _skip_trailers(self) -> None:
        lines: list[str] = []
        while line := self._source.line():
            lines.append(line.decode("latin-1"))
            if len(lines) > _TRAILERS:
                raise ValueError("there are too many trailers")
        try:
            fields = read_fields(lines)
        except Exception as exc:
            raise ValueError("a trailer is malformed") from exc
        if not _FRAMING.isdisjoint(fields):
            raise ValueError("a trailer states how to read the request")


def skip(body: BodyStream, most: int) -> bool:
    """Read what is left of a body, up to `most` bytes. Returns whether that was all of it. Raises like `read`."""
    while not body.is_at_end and most > 0:
        piece = body.read(most)
        if not piece:
            break
        most -= len(piece)
    return body.is_at_end
