"""What opening and decoding an image file will take, read from its header before Pillow acts on it, within limits."""

from __future__ import annotations

from dataclasses import dataclass

from model.images.avif import coded_pixels
from model.images.jpeg import Jpeg, exif_bytes, read_jpeg
from model.images.limits import Limits, check_coded, check_exif
from model.images.png import metadata_bytes
from model.images.tiff import check_directory
from model.images.webp import exif_bytes as webp_exif_bytes
from model.images.webp import prefix_code_bytes

_EXIF_BYTES = 20
"""Bytes of memory for a byte of EXIF: Pillow makes an object of each fraction."""

_APPLICATION_COPIES = 2
"""How often Pillow holds a JPEG's segments for applications and comments: one by one, and joined."""


@dataclass(frozen=True, slots=True)
class Header:
    """Bytes of memory in addition to the pixels: `opening_bytes` from the time when Pillow opens the file, for copies
    of it and for its metadata, and `decoder_bytes` while it is decoded.

    `coded_pixels`: of all frames of an AVIF. `jpeg`: of a JPEG alone.
    """

    opening_bytes: int
    decoder_bytes: int = 0
    coded_pixels: int = 0
    jpeg: Jpeg | None = None


def read_header(data: bytes, limits: Limits) -> Header:
    """Raises InvalidImage, and ImageTooLarge or UnsupportedFormat, for what is not to be opened at all.

    Of a file in no format that is served it says little; Pillow refuses it.
    """
    size = len(data)
    if data.startswith(b"\xff\xd8"):
        exif = exif_bytes(data)
        check_exif(exif, limits)
        jpeg = read_jpeg(data)
        said = _APPLICATION_COPIES * jpeg.application_bytes + _EXIF_BYTES * exif
        return Header(2 * size + said, jpeg.coefficient_bytes, jpeg=jpeg)
    if data.startswith(b"\x89PNG"):
        return Header(size + metadata_bytes(data, limits))
    if data[:4] == b"RIFF":
        return Header(4 * size + _EXIF_BYTES * webp_exif_bytes(data), prefix_code_bytes(data))
    if data[4:8] == b"ftyp":
        coded = coded_pixels(data)
        check_coded(coded, limits)
        return Header(4 * size, coded_pixels=coded)
    return Header(3 * size, check_directory(data, limits))
