"""Tunes how the process frees memory: malloc returns large blocks at once, and the garbage collector runs seldom."""

from __future__ import annotations

import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 8_000_000
"""Blocks from this size on are returned when they are freed: a large image takes one, a batch of photos does not."""

_WORKING_BYTES, _HEAPS = 16_000_000, 2
"""Bytes that a heap keeps at its end for the next images, and the number of heaps for all threads."""

GARBAGE = (50_000, 20, 100)
"""Thresholds of the garbage collector (gc.set_threshold): it runs after some thousand images. With Python's defaults
(700, 10, 10) it runs after a few.
"""


def return_large_blocks() -> None:
    """Map large blocks separately and unmap them when they are freed (mallopt(3); glibc only).

    By default glibc raises the size from which it does so to 32 MB once such blocks were freed, and keeps them in a
    heap per thread: a mix of large images takes hundreds of MB more. Smaller blocks stay for the next image: to return
    their pages and map them again takes a sixth of a photo's CPU time.
    """
    import ctypes  # here: the import takes 3 ms, which other processes need not spend

    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _WORKING_BYTES)
        mallopt(_M_ARENA_MAX, _HEAPS)


def collect_seldom() -> None:
    """Let the garbage collector skip the objects that exist now, and run after some thousand images.

    Call it before most modules are loaded, and again after that. A successful request leaves no cycles, but by default
    the collector walks through every module and every cached response: 30 ms at a time, at least 40 us for each image.
    """
    gc.freeze()  # without a collection before it, which takes 30 ms of a cold start
    gc.set_threshold(*GARBAGE)
