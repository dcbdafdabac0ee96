"""The body of an HTTP request as a stream over its connection, for bodies that a thread reads."""

from __future__ import annotations

import socket
from typing import Protocol

from httptools import HttpParserError

from functions.entrypoints.request_head import Head

_READ_BYTES = 65_536
_FRAMING_BYTES = 16_384
"""Maximum bytes without a byte of the body: the size and the extension of a chunk, and trailers."""


class BodyStream(Protocol):
    """A body; blocks if the socket does."""

    @property
    def has_next(self) -> bool:
        """Whether all of it was read, and the next request may follow."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` more bytes; none at the end. Raises ValueError, or OSError of the socket."""
        ...


class SizedBody:
    """A body of a known length in bytes. `received`: what the connection has received, and nothing has read."""

    def __init__(self, received: bytearray, sock: socket.socket, length: int) -> None:
        self._received, self._socket, self._left = received, sock, length

    @property
    def has_next(self) -> bool:
        return not self._left

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        if wanted and not self._received:
            self._received += self._socket.recv(_READ_BYTES)
        piece = bytes(self._received[:wanted])
        del self._received[:wanted]
        self._left -= len(piece)
        return piece


class ChunkedBody:
    """A body in chunks. The connection closes after it: the parser does not tell where the next request begins."""

    has_next = False

    def __init__(self, received: bytearray, sock: socket.socket, head: Head) -> None:
        self._received, self._socket, self._head = received, sock, head
        self._body = bytearray()
        self._framing = 0

    def read(self, size: int = -1, /) -> bytes:
        message = self._head.message
        while not self._body and not message.is_complete:
            if not self._received:
                self._received += self._socket.recv(_READ_BYTES)
            self._parse(bytes(self._received[:_FRAMING_BYTES]))
            del self._received[:_FRAMING_BYTES]
        piece = bytes(self._body[:size] if size >= 0 else self._body)
        del self._body[: len(piece)]
        return piece

    def _parse(self, data: bytes) -> None:
        if not data:
            raise ValueError("the chunks are incomplete")
        message = self._head.message
        try:
            self._head.parser.feed_data(data)
        except HttpParserError as exc:
            if not message.is_complete:  # what follows the body is not read
                raise ValueError("the chunks are malformed") from exc
        self._framing = 0 if message.pieces else self._framing + len(data)
        if self._framing > _FRAMING_BYTES:
            raise ValueError("the size of a chunk, its extension or the trailers are too long")
        for piece in message.pieces:
            self._body += piece
        message.pieces.clear()


def skip(body: BodyStream, most: int) -> bool:
    """Read what is left of a body, up to `most` bytes. Returns whether a request may follow. Raises like `read`."""
    while not body.has_next and most > 0 and (piece := body.read(most)):
        most -= len(piece)
    return body.has_next
