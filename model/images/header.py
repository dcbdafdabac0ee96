"""Estimates the memory to open and decode an image file from its header, and checks limits, before Pillow opens it."""

from __future__ import annotations

from dataclasses import dataclass

from model.images.avif import coded_pixels
from model.images.jpeg import Jpeg, exif_bytes, read_jpeg
from model.images.limits import EXIF_COST, Limits, check_coded, check_exif
from model.images.png import read_metadata
from model.images.tiff import check_directory
from model.images.webp import exif_bytes as webp_exif_bytes
from model.images.webp import prefix_code_bytes

_APPLICATION_COPIES = 2
"""Number of copies that Pillow makes of a JPEG's application and comment segments: single and joined."""


@dataclass(frozen=True, slots=True)
class Header:
    """The estimated memory in addition to the pixels.

    `opening_bytes` are for copies of the file and for its metadata, and are needed from the time when Pillow opens it.
    `decoder_bytes` are needed during decoding. `coded_pixels` is the number of pixels of all frames of an AVIF, and
    `jpeg` the description of a JPEG. `left_out` has start and stop of the chunks of a PNG to leave out.
    """

    opening_bytes: int
    decoder_bytes: int = 0
    coded_pixels: int = 0
    jpeg: Jpeg | None = None
    left_out: tuple[tuple[int, int], ...] = ()


def read_header(data: bytes, limits: Limits) -> Header:
    """Read the header. Raises InvalidImage, ImageTooLarge or UnsupportedFormat for a file that must not be opened.

    A file of an unknown format gets a rough estimate; Pillow rejects it afterwards.
    """
    size = len(data)
    if data.startswith(b"\xff\xd8"):
        exif = exif_bytes(data)
        check_exif(exif, limits)
        jpeg = read_jpeg(data)
        metadata = _APPLICATION_COPIES * jpeg.application_bytes + EXIF_COST * exif
        return Header(2 * size + metadata, jpeg.coefficient_bytes, jpeg=jpeg)
    if data.startswith(b"\x89PNG"):
        metadata, left_out = read_metadata(data, limits)
        return Header(size + metadata, left_out=left_out)
    if data[:4] == b"RIFF":
        return Header(4 * size + EXIF_COST * webp_exif_bytes(data), prefix_code_bytes(data))
    if data[4:8] == b"ftyp":
        coded = coded_pixels(data)
        check_coded(coded, limits)
        return Header(4 * size, coded_pixels=coded)
    return Header(3 * size, check_directory(data, limits))
