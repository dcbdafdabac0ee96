"""The limits on an image, and the checks that need only its header, before decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from PIL import Image

from model.errors import ImageTooLarge, InvalidImage
from model.images.jpeg import Jpeg

EXIF_COST = 20
"""Bytes of memory for each byte of EXIF: Pillow makes an object of each fraction."""

SEVERAL_SCANS, LOSSLESS = "JPEG in several scans", "lossless JPEG"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits on an image: bytes, pixels (of a format, or 16 million), pixels of an edge, JPEG scans, pixels times
    scans, bytes of memory for coefficients, reads of the file, bytes of EXIF, and seconds of CPU time for decoding.

    JPEGs may be larger because their decoder reduces them, unless they are lossless. The decoder keeps all coefficients
    of a JPEG in several scans in memory. Such a JPEG is progressive, or its first scan lacks a component. WebP and AVIF
    have lower limits because one call decodes them, which no time limit can interrupt.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 16_000_000
    max_pixels_of: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType(
            {"JPEG": 64_000_000, "MPO": 64_000_000, SEVERAL_SCANS: 32_000_000, "WEBP": 12_500_000, "AVIF": 12_500_000}
        )
    )
    max_edge: int = 65_535
    max_scans: int = 100
    max_scanned_pixels: int = 400_000_000
    max_coefficient_bytes: int = 192_000_000
    max_reads: int = 60_000
    max_exif_bytes: int = 500_000
    max_seconds: float = 1.0


def check_size(image: Image.Image, jpeg: Jpeg | None, limits: Limits) -> None:
    """Raise ImageTooLarge if an opened image exceeds the limit of its format or of its kind of JPEG."""
    width, height = image.size
    if width < 1 or height < 1:
        raise InvalidImage(f"the image is {width}x{height} pixels")
    if max(width, height) > limits.max_edge:
        raise ImageTooLarge(f"the image is {width}x{height} pixels; at most {limits.max_edge:,} an edge are allowed")
    kind = image.format or ""
    if jpeg and (jpeg.lossless or jpeg.several_scans):
        kind = LOSSLESS if jpeg.lossless else SEVERAL_SCANS
    allowed = limits.max_pixels_of.get(kind, limits.max_pixels)
    if width * height > allowed:
        raise ImageTooLarge(f"the image is {width}x{height} pixels; at most {allowed:,} are allowed for {kind}")


def too_many_parts(most: int) -> ImageTooLarge:
    """Return the error for an image of more parts than the `most` that are read one by one."""
    return ImageTooLarge(f"the image has too many parts; at most {most:,} are read")


def check_coded(pixels: int, limits: Limits) -> None:
    """Raise ImageTooLarge if the frames of an AVIF have more pixels than the largest image with transparency."""
    allowed = 2 * limits.max_pixels_of.get("AVIF", limits.max_pixels)
    if pixels > allowed:
        raise ImageTooLarge(f"the image's frames have {pixels:,} pixels together; at most {allowed:,} are allowed")


def check_jpeg(jpeg: Jpeg, image: Image.Image, limits: Limits) -> None:
    """Raise ImageTooLarge if a JPEG exceeds a limit on scans, and InvalidImage if its segments are inconsistent."""
    if jpeg.scans > limits.max_scans:
        raise ImageTooLarge(f"the image has {jpeg.scans} scans; at most {limits.max_scans} are allowed")
    check_scanned(jpeg.scans * jpeg.width * jpeg.height, limits)
    check_coefficients(jpeg.coefficient_bytes, limits.max_coefficient_bytes)
    if jpeg.starved:
        raise InvalidImage("the image is truncated: a scan has too little data for its pixels")
    if jpeg.several_scans and jpeg.lacks_end:
        raise InvalidImage("the image is truncated: it is a JPEG in several scans without an end marker after the last")
    if image.size != (jpeg.width, jpeg.height):
        raise InvalidImage("the image is damaged: it has two frames")


def check_scanned(scanned: int, limits: Limits) -> None:
    """Raise ImageTooLarge if all scans of JPEGs together have too many pixels."""
    if scanned > limits.max_scanned_pixels:
        raise ImageTooLarge(
            f"the image's scans have {scanned:,} pixels together; at most {limits.max_scanned_pixels:,} are allowed"
        )


def check_coefficients(taken: int, allowed: int) -> None:
    """Raise ImageTooLarge if the coefficients of a JPEG take too much memory."""
    if taken > allowed:
        raise ImageTooLarge(
            f"the image has several scans, which take {taken:,} bytes of memory; at most {allowed:,} are allowed"
        )


def check_exif(size: int, limits: Limits) -> None:
    """Raise ImageTooLarge for too many bytes of EXIF: Pillow parses it in Python, where no time limit applies."""
    if size > limits.max_exif_bytes:
        raise ImageTooLarge(f"the image has {size:,} bytes of EXIF; at most {limits.max_exif_bytes:,} are allowed")
