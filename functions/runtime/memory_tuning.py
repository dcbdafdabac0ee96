"""Tunes glibc's memory allocator and Python's garbage collector for the worker's load."""

from __future__ import annotations

import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 8_000_000
"""Blocks from this size in bytes are mapped separately. The blocks of a batch of photos are smaller, those of
a large image are larger.
"""

_WORKING_BYTES, _HEAPS = 16_000_000, 2
"""Free bytes that a heap keeps at its end for the next images, and the number of heaps for all threads."""

GC_THRESHOLDS = (50_000, 20, 100)
"""Thresholds for gc.set_threshold: new objects before a collection, and collections before one of the next generation.
These start a collection after some thousand images. Python's defaults (700, 10, 10) start one after a few.
"""


def release_large_blocks() -> None:
    """Make glibc return large blocks to the system when they are freed (mallopt(3)). Other C libraries ignore it.

    Without it, glibc raises its threshold for separate mappings up to 32 MB when such blocks are freed, and keeps them
    in the heaps of the threads: a mix of large images takes hundreds of MB more. Smaller blocks stay in the heap for
    the next image. Returned pages would be mapped and cleared again, which takes a sixth of a photo's CPU time.
    """
    import ctypes  # here, because the import takes 3 ms that a start should not wait for

    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _WORKING_BYTES)
        mallopt(_M_ARENA_MAX, _HEAPS)


def tune_garbage_collector() -> None:
    """Make the garbage collector ignore all current objects, and run once in some thousand images.

    Call it before the imports, and again when the model is loaded. A successful request leaves no cycles. With Python's
    thresholds the collector would still scan every module and every cached response, 30 ms at a time: at least 40 us of
    CPU time for each image.
    """
    gc.freeze()  # without a collection before it, which would take 30 ms of a cold start
    gc.set_threshold(*GC_THRESHOLDS)


def trim_memory() -> None:
    """Return free memory of glibc's heaps to the system (malloc_trim(3)). Other C libraries ignore it."""
    import ctypes

    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
