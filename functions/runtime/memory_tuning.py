"""How memory is given back: large blocks at once, the last megabytes of a heap never, cycles when there may be many."""

from __future__ import annotations

import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 8_000_000
"""What a batch of photos does not take, and a large image does."""

_WORKING_BYTES, _HEAPS = 16_000_000, 2
"""What a heap keeps at its end, for the next images, and how many there are for all threads."""

GARBAGE = (50_000, 20, 100)
"""New objects before the collector looks for cycles among them, and looks before one at older objects: those of some
thousand images. Python's own (700, 10, 10) are those of a few.
"""


def give_back_large_blocks() -> None:
    """Map large blocks by themselves and unmap them when they are freed (mallopt(3); glibc alone has it).

    By itself glibc raises the size from which it does so to 32 MB once such blocks were freed, and keeps them in a heap
    per thread: hundreds of MB more under a mix of large images. What is smaller it must keep for the next image: pages
    that are given back are cleared and mapped anew, which took a sixth of a photo's CPU time.
    """
    import ctypes  # 3 ms that a start is not kept from

    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _WORKING_BYTES)
        mallopt(_M_ARENA_MAX, _HEAPS)


def collect_seldom() -> None:
    """Have the garbage collector pass over what is there now, and look at what comes after some thousand images.

    To be called before much is loaded, and again when all is. A request that goes well leaves no cycles; by itself the
    collector walks all the same through every module and every remembered answer: at least 40 us of an image's CPU
    time, 30 ms at a time.
    """
    gc.freeze()  # no collection before it: 30 ms of a cold start
    gc.set_threshold(*GARBAGE)
