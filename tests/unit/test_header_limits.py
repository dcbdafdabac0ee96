"""What a client's HTTP/2 settings say about the headers that it accepts, also where they are malformed."""

from __future__ import annotations

import struct

import pytest

from infra.local.pubsub.header_limits import HeaderLimits, is_complete


def frame(*settings: tuple[int, int], kind: int = 4) -> bytes:
    """The rest of a connection's preface and its first frame (RFC 9113, 4.1 and 6.5)."""
    body = b"".join(struct.pack(">HI", *each) for each in settings)
    return b"SM\r\n\r\n" + len(body).to_bytes(3) + bytes([kind, 0]) + bytes(4) + body


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        (frame((3, 100), (6, 4 << 20)) + b"more", 1 << 20),
        (frame((6, 8192)), 4096),
        (frame((4, 1 << 20)), 4096),
        (frame(), 4096),
        (frame((6, 4 << 20), kind=1), 4096),
        (b"SM\r\n\r\n\xff\xff\xff\x04" + bytes(5) + b"a frame of 16 MB", 4096),
    ],
    ids=["4 MiB", "8 KiB", "not said", "no settings", "no frame of settings", "too long"],
)
def test_details_fit_into_the_headers_of_the_client(first: bytes, wanted: int) -> None:
    limits = HeaderLimits()
    assert is_complete(first)
    limits.learn(1234, first)
    assert limits.details_bytes("ipv4:127.0.0.1:1234") == wanted
    assert limits.details_bytes("ipv4:127.0.0.1:99") == limits.details_bytes("") == 4096


def test_the_whole_frame_is_awaited() -> None:
    first = frame((6, 4 << 20))
    assert [is_complete(first[:size]) for size in range(len(first))] == [False] * len(first)
