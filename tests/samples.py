"""Images made on the spot, good and bad, for every suite."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

from tests.image_files import tiff_of


def encoded(format: str = "PNG", size: tuple[int, int] = (28, 28), mode: str = "L", **options: object) -> bytes:
    """A gradient as an image file."""
    image = Image.linear_gradient("L").resize(size).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header promises a size; there are next to no pixels behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1" + bytes(64)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'

BAD_IMAGES: dict[str, tuple[bytes, str]] = {
    "text": (b"this is no image", "invalid_image"),
    "truncated JPEG": (encoded("JPEG", (200, 200))[:700], "invalid_image"),
    "0x0": (png_header(0, 0), "invalid_image"),
    "50,000x50,000": (png_header(50_000, 50_000), "image_too_large"),
    "HEIC": (HEIC, "unsupported_format"),
    "SVG": (SVG, "unsupported_format"),
    "TIFF of signed bytes": (tiff_of(bytes(8), 4, 2, 1, (339, 3, 1, 2)), "unsupported_format"),
}
"""Name to bytes and the code that answers them, at every entry point."""
