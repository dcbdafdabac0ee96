"""`python -m tests.memory_estimates`: what decoding takes beside what it is counted as, a line of JSON for each image.

A process of its own, in which freed blocks go back to the system at once: elsewhere an image is decoded in memory that
an earlier one left, and its peak is not seen.
"""

from __future__ import annotations

import ctypes
import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from PIL import Image

from model.images.decode import decoded
from model.images.limits import Limits
from model.images.memory_budget import Room
from tests.fault.watch import peak_kb, reset_peak
from tests.image_files import save

SIZE, THIN, DECODE_SIZE = (1800, 1600), (12_000, 200), 448
_M_MMAP_THRESHOLD, _RETURNED_FROM = -3, 100_000

_COMPRESSIONS = (None, "tiff_lzw", "tiff_adobe_deflate")
_ONE_STRIP = 1 << 28

CASES: tuple[tuple[str, str, Mapping[str, object]], ...] = (
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "L", {"transparency": 3}),
    ("PNG", "I;16", {"transparency": 3}),
    ("PNG", "RGB", {"transparency": (3, 3, 3)}),
    *(("JPEG", mode, {"progressive": more}) for mode in ("L", "RGB", "CMYK") for more in (False, True)),
    ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    *(("WEBP", mode, {"lossless": more, "method": 0}) for mode in ("RGB", "RGBA") for more in (False, True)),
    *(("GIF", mode, {}) for mode in ("L", "P")),
    ("GIF", "P", {"transparency": 3}),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(
        ("TIFF", mode, {"compression": compression})
        for mode in ("L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB", "YCbCr", "I;16", "I", "F")
        for compression in _COMPRESSIONS
    ),
    *(("TIFF", "1", {"compression": compression}) for compression in (*_COMPRESSIONS, "group3", "group4")),
    *(("TIFF", "RGB", {"compression": compression}) for compression in ("packbits", "lzma", "zstd")),
    *(("TIFF", mode, {"compression": "jpeg"}) for mode in ("L", "RGB", "CMYK", "YCbCr")),
    *(("TIFF", mode, {"compression": "tiff_lzw", "strip_size": _ONE_STRIP}) for mode in ("RGB", "RGBA", "CMYK", "F")),
    *(("AVIF", mode, {"speed": 10, "quality": 20}) for mode in ("L", "RGB", "RGBA")),
    ("AVIF", "RGBA", {"speed": 10, "quality": 90, "subsampling": "4:4:4"}),
)
"""Format, mode and what the encoder is asked for: every pair of a format and a mode that is served."""


class _Counted(Room):
    """A memory budget that notes what was asked for last."""

    asked = 0

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        self.asked = amount
        with super().taken(amount):
            yield


def _drawn(mode: str, size: tuple[int, int]) -> Image.Image:
    grey = Image.linear_gradient("L").resize(size)
    pixels = np.asarray(grey)
    if mode == "I;16":
        return Image.fromarray(pixels.astype(np.uint16) * 200)
    if mode == "I":
        return Image.fromarray(pixels.astype(np.int32) * 1000)
    if mode == "F":
        return Image.fromarray(pixels.astype(np.float32) * 3 - 100)
    if mode == "PA":
        return grey.convert("P").convert("PA")
    if mode in ("LAB", "RGBA"):
        return Image.merge(mode, [grey] * len(mode))
    return grey.convert(mode)


def main() -> None:
    """Print format, mode, options, size, decode size, bytes at the peak and bytes as counted, for each case."""
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _RETURNED_FROM)
    budget = _Counted(1 << 40)
    limits = Limits(max_bytes=1 << 40, max_seconds=60)
    for format, mode, options in CASES:
        for size, decode_size in ((SIZE, DECODE_SIZE), (SIZE, None), (THIN, DECODE_SIZE)):
            data = save(_drawn(mode, size), format, **options)
            gc.collect()
            reset_peak()
            before = peak_kb()
            with decoded(data, limits, decode_size, budget):
                peak = 1024 * (peak_kb() - before)
            print(json.dumps([format, mode, options, size, decode_size, peak, budget.asked]), flush=True)


if __name__ == "__main__":
    main()
