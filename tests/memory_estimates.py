"""`python -m tests.memory_estimates`: memory that decoding takes and its estimate, one line of JSON an image.

A process of its own, in which freed blocks go back to the system at once: elsewhere an image is decoded in memory that
an earlier one left, and its peak is not seen.
"""

from __future__ import annotations

import ctypes
import gc
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from PIL import Image

from model.images.decode import decoded
from model.images.limits import Limits
from model.images.memory_budget import MemoryBudget
from model.images.webp import MAX_GROUPS
from tests.fault.process_monitor import peak_kb, reset_peak
from tests.image_files import chunk, save, tiff, webp_of_groups

LIMITS = Limits(max_bytes=1 << 40, max_seconds=60)
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


_PIXEL = Image.new("RGB", (16, 16))
_MEGABYTES = bytes(4_000_000)


def _jpeg_with(kind: int, head: bytes) -> bytes:
    """A JPEG with four megabytes in segments of a kind."""
    part = head + bytes(65_000)
    segment = b"\xff" + bytes([kind]) + struct.pack(">H", len(part) + 2) + part
    return b"\xff\xd8" + segment * 60 + save(_PIXEL, "JPEG")[2:]


def _png_with(kind: bytes, text: bytes) -> bytes:
    whole = save(_PIXEL, "PNG")
    return whole[:33] + chunk(kind, text) + whole[33:]


def _exif() -> bytes:
    """An orientation of 60,000 fractions."""
    return tiff([(0x112, 5, 60_000, 1000), (0x128, 3, 1, 2)], struct.pack("<II", 1, 1) * 60_000)


def _jpeg_with_exif() -> bytes:
    exif = _exif()
    parts = [b"Exif\0\0" + exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return b"\xff\xd8" + segments + save(_PIXEL, "JPEG")[20:]


METADATA: dict[str, Callable[[], bytes]] = {
    "JPEG, profile": lambda: save(_PIXEL, "JPEG", icc_profile=_MEGABYTES),
    "JPEG, comments": lambda: _jpeg_with(0xFE, b""),
    "JPEG, Photoshop": lambda: _jpeg_with(0xED, b"Photoshop 3.0\0"),
    "JPEG, EXIF": _jpeg_with_exif,
    "PNG, text": lambda: _png_with(b"tEXt", b"a\0" + _MEGABYTES.replace(b"\0", b"b")),
    "PNG, wide text": lambda: _png_with(b"iTXt", b"a\0\0\0\0\0" + "\U0001f600".encode() + b"b" * 4_000_000),
    "PNG, compressed text": lambda: _png_with(b"zTXt", b"a\0\0" + zlib.compress(b"b" * 1_000_000)),
    "PNG, profile": lambda: save(_PIXEL, "PNG", icc_profile=bytes(range(256)) * 3_000),
    "PNG, damaged chunk": lambda: _png_with(b"prVt", _MEGABYTES).replace(b"prVt", b"prVu"),
    "PNG, private chunk": lambda: _png_with(b"prVt", _MEGABYTES),
    "PNG, EXIF": lambda: _png_with(b"eXIf", _exif()),
    "PNG, raw profile": lambda: _png_with(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n1\n" + _exif().hex().encode())
    ),
    "WebP, profile": lambda: save(_PIXEL, "WEBP", icc_profile=_MEGABYTES),
    "WebP, EXIF": lambda: save(_PIXEL, "WEBP", exif=b"Exif\0\0" + _exif()),
    "WebP, groups of prefix codes": lambda: webp_of_groups(64, MAX_GROUPS),
    "AVIF, profile": lambda: save(_PIXEL, "AVIF", icc_profile=_MEGABYTES),
    "AVIF, XMP": lambda: save(_PIXEL, "AVIF", xmp=_MEGABYTES),
    "AVIF, larger frame": lambda: save(Image.new("RGB", (3_000, 3_000), "red"), "AVIF", speed=10).replace(
        struct.pack(">II", 3_000, 3_000), struct.pack(">II", 64, 64)
    ),
    "TIFF, profile": lambda: save(_PIXEL, "TIFF", icc_profile=_MEGABYTES),
    "TIFF, fax": lambda: save(_PIXEL.convert("1"), "TIFF", compression="group4") + _MEGABYTES,
}
"""Small images with much metadata."""


def _tiff_of(bits: int, samples: int, photometric: int, *more: tuple[int, int, int, int]) -> bytes:
    """An uncompressed TIFF of SIZE in one strip for each plane, in which Pillow's pixels are corrected."""
    plane = bytes(range(256)) * -(-SIZE[0] * SIZE[1] * bits // 8 // 256)
    planes = samples if (284, 3, 1, 2) in more else 1
    places = struct.pack(
        f"<{2 * samples}I", *(1100 + len(plane) * each for each in range(samples)), *[len(plane)] * samples
    )
    depths = struct.pack("<4H", *[bits] * 4)
    entries = [(256, 4, 1, SIZE[0]), (257, 4, 1, SIZE[1]), (259, 3, 1, 1), (262, 3, 1, photometric), *more]
    entries += [(258, 3, samples, 1000 if samples > 2 else bits), (277, 3, 1, samples), (278, 4, 1, SIZE[1])]
    at = (1008, 1008 + 4 * samples) if planes > 1 else (1100, len(plane))
    entries += [(273, 4, planes, at[0]), (279, 4, planes, at[1])]
    return tiff(entries, (depths + places).ljust(100, b"\0") + plane * planes)


CORRECTED: dict[str, Callable[[], bytes]] = {
    "TIFF, 16 bits in planes": lambda: _tiff_of(16, 3, 2, (284, 3, 1, 2)),
    "TIFF, 12 bits": lambda: _tiff_of(12, 1, 1),
    "TIFF, 16 bits, white is zero": lambda: _tiff_of(16, 1, 0),
    "TIFF, 32 bits, unsigned": lambda: _tiff_of(32, 1, 1),
}
"""Images whose pixels are corrected before or after Pillow decodes them."""


class _Counted(MemoryBudget):
    """A memory budget that notes what was asked for last."""

    asked = 0

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        self.asked = amount
        with super().reserve(amount):
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
    """Print format, mode, options, size, decode size, bytes at the peak and bytes as counted, for each case; then name
    and the last two of these for each image with much metadata or corrected pixels.
    """
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _RETURNED_FROM)
    budget = _Counted(1 << 40)
    for format, mode, options in CASES:
        for size, decode_size in ((SIZE, DECODE_SIZE), (SIZE, None), (THIN, DECODE_SIZE)):
            peak = _peak(save(_drawn(mode, size), format, **options), decode_size, budget)
            print(json.dumps([format, mode, options, size, decode_size, peak, budget.asked]), flush=True)
    for name, make in {**METADATA, **CORRECTED}.items():
        peak = _peak(make(), DECODE_SIZE, budget)
        print(json.dumps([name, peak, budget.asked]), flush=True)


def _peak(data: bytes, decode_size: int | None, budget: MemoryBudget) -> int:
    """Bytes of memory that decoding takes at most."""
    gc.collect()
    reset_peak()
    before = peak_kb()
    with decoded(data, LIMITS, decode_size, budget):
        return 1024 * (peak_kb() - before)


if __name__ == "__main__":
    main()
