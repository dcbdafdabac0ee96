"""HTTP heads: when one is complete or too long, in whatever pieces it arrives."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.entrypoints.request_head import HEADERS_BYTES, LINE_BYTES, RequestError, is_complete

LINE = b"GET / HTTP/1.1\r\n"
FIELD = b"A: " + b"a" * 1019 + b"\r\n"
"""1,024 bytes."""


@pytest.mark.parametrize(
    ("head", "whole"),
    [
        (b"", False),
        (b"\r", False),
        (b"\r\n", False),
        (b"GET / HTTP/1.1\r", False),
        (LINE, False),
        (LINE + b"A: b\r\n\r", False),
        (LINE + b"\r\n", True),
        (b"\r\n" + LINE + b"\r\n", True),
        (LINE + b"A: b\r\n\r\nbody", True),
        (b"GET /\r\n", True),
        (b"GET / HTTP/2.0\r\n", True),
        (b"GET / HTTP/1.1\n", True),
        (LINE + b"A: b\n", True),
        (b"GET /" + b"a" * (LINE_BYTES - 14) + b" HTTP/1.1\r\n\r\n", True),
        (LINE + FIELD * (HEADERS_BYTES // len(FIELD)) + b"\r\n", True),
    ],
)
def test_a_complete_head_is_recognised(head: bytes, whole: bool) -> None:
    assert is_complete(head) is whole


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"a" * (LINE_BYTES + 2), 414),
        (b"GET /" + b"a" * (LINE_BYTES - 13) + b" HTTP/1.1\r\n\r\n", 414),
        (b"\r\n" + b"a" * (LINE_BYTES + 2), 414),
        (LINE + FIELD * (HEADERS_BYTES // len(FIELD) + 1) + b"\r\n", 431),
        (LINE + FIELD * 40, 431),
        (LINE + b"A: " + b"a" * 50_000, 431),
    ],
)
def test_a_head_over_the_limit_is_recognised(head: bytes, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        is_complete(head)
    assert refused.value.status == status


def judged(head: bytes, cuts: list[int]) -> tuple[int, object]:
    """The number of bytes that sufficed for a verdict, and the verdict."""
    searched = 0
    for end in sorted({cut % (len(head) + 1) for cut in cuts} | {len(head)}):
        try:
            if is_complete(head[:end], searched):
                return end, True
        except RequestError as refused:
            return end, refused.status
        searched = end
    return len(head), False


@given(
    st.lists(
        st.sampled_from([b"\r\n", b"\r", b"\n", b"A: b", b" HTTP/1.1", b"GET /", FIELD, b"x" * 9000]), max_size=50
    ),
    st.lists(st.integers(0, 100_000), max_size=8),
)
def test_a_head_in_pieces_is_judged_like_the_whole(parts: list[bytes], cuts: list[int]) -> None:
    head = b"".join(parts)
    end, verdict = judged(head, cuts)
    assert (verdict is False) == (judged(head, [])[1] is False)
    assert end <= len(head)


def test_byte_after_byte_costs_little() -> None:
    head, received = LINE + b"A: b\r\n" * 5000, bytearray()
    before = time.thread_time()
    with suppress(RequestError):
        for byte in head:
            received.append(byte)
            assert not is_complete(received, len(received) - 1)
    assert time.thread_time() - before < 5
