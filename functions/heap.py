"""Has the C library give large blocks back: images come and go, and what it keeps for later is counted as ours."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1_000_000


def give_back_large_blocks() -> None:
    """Map blocks over a megabyte by themselves and unmap them when they are freed (mallopt(3); glibc alone has it).

    By itself glibc raises that threshold to 32 MB once such blocks were freed, and keeps them in a heap per thread:
    a hundred MB more under a mix of large images.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
