"""How many bytes of headers the client of each connection accepts, from its HTTP/2 settings (RFC 9113, 6.5.2)."""

from __future__ import annotations

import struct

# After the first line of the preface come 6 bytes of it, and then the head of the first frame, SETTINGS.
_HEAD, _TYPE, _SETTINGS = slice(6, 15), 9, 4
_MAX_HEADER_LIST_SIZE = 6

# Bytes of a frame of a client that has not been allowed more.
_LONGEST_FRAME = 1 << 14

# Bytes that every known client accepts as details of an error: gRPC for Java takes headers of 8 KiB by default, in
# which the details are encoded in base64.
_LEAST = 4096


class HeaderLimits:
    """The limits of the open connections, by the port from which the gRPC server sees each of them."""

    def __init__(self) -> None:
        self._announced: dict[int, int] = {}

    def learn(self, port: int, first: bytes) -> None:
        """Note the limit in the first bytes of a connection, which `is_complete`."""
        size = int.from_bytes(first[_HEAD][:3])
        values = first[_HEAD.stop : _HEAD.stop + size] if first[_TYPE] == _SETTINGS else b""
        settings = dict(struct.iter_unpack(">HI", values[: len(values) // 6 * 6]))
        self._announced[port] = settings.get(_MAX_HEADER_LIST_SIZE, 0)

    def details_bytes(self, peer: str) -> int:
        """Bytes of details that an error for a peer, `ipv4:127.0.0.1:PORT`, may have.

        A quarter of the announced size: base64 takes a third more, and gRPC for C announces twice what it surely takes.
        """
        port = peer.rpartition(":")[2]
        return max(self._announced.get(int(port), 0) // 4 if port else 0, _LEAST)


def is_complete(first: bytes) -> bool:
    """Whether the first bytes of a connection, after the first line of its preface, contain a whole frame."""
    size = int.from_bytes(first[_HEAD][:3])
    return len(first) >= _HEAD.stop and (len(first) >= _HEAD.stop + size or size > _LONGEST_FRAME)
