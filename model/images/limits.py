"""What an image may cost, and the checks by its header alone, before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from PIL import Image

from model.errors import ImageTooLarge, InvalidImage
from model.images.jpeg import Jpeg

SEVERAL_SCANS, LOSSLESS = "JPEG in several scans", "lossless JPEG"


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost: bytes, pixels by format (16 million where not named), pixels of an edge, JPEG scans,
    pixels times scans, bytes of memory for coefficients, parts that are read one by one, bytes of EXIF, seconds of CPU
    time for decoding.

    JPEGs may be larger because they are decoded at a fraction of their size, unless they are lossless. A JPEG in
    several scans (every progressive one, and a sequential one whose first scan lacks a component) keeps all
    coefficients in memory while it is decoded.
    WebP and AVIF are decoded in one go that no clock can stop.
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
    """Raise ImageTooLarge when an opened image is larger than its format, or its kind of JPEG, may be."""
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


def check_coded(pixels: int, limits: Limits) -> None:
    """Raise ImageTooLarge when the frames of an AVIF have more pixels than the largest image and its transparency."""
    allowed = 2 * limits.max_pixels_of.get("AVIF", limits.max_pixels)
    if pixels > allowed:
        raise ImageTooLarge(f"the image's frames have {pixels:,} pixels together; at most {allowed:,} are allowed")


def check_jpeg(jpeg: Jpeg, image: Image.Image, limits: Limits) -> None:
    """Raise ImageTooLarge when a JPEG's scans cost too much, InvalidImage when its segments contradict themselves."""
    if jpeg.scans > limits.max_scans:
        raise ImageTooLarge(f"the image has {jpeg.scans} scans; at most {limits.max_scans} are allowed")
    check_scanned(jpeg.scans * jpeg.width * jpeg.height, limits)
    check_coefficients(jpeg.coefficient_bytes, limits.max_coefficient_bytes)
    if jpeg.starved:
        raise InvalidImage("the image is truncated: a scan has too little data for its pixels")
    if image.size != (jpeg.width, jpeg.height):
        raise InvalidImage("the image is damaged: it has two frames")


def check_scanned(scanned: int, limits: Limits) -> None:
    """Raise ImageTooLarge for too many pixels in all scans of JPEGs together."""
    if scanned > limits.max_scanned_pixels:
        raise ImageTooLarge(
            f"the image's scans have {scanned:,} pixels together; at most {limits.max_scanned_pixels:,} are allowed"
        )


def check_coefficients(taken: int, allowed: int) -> None:
    """Raise ImageTooLarge for too many bytes of memory for the coefficients of a JPEG."""
    if taken > allowed:
        raise ImageTooLarge(
            f"the image comes in several scans, which take {taken:,} bytes of memory; at most {allowed:,} are allowed"
        )


def check_exif(size: int, limits: Limits) -> None:
    """Raise ImageTooLarge for too many bytes of EXIF: Pillow reads it in Python, where no clock can stop it."""
    if size > limits.max_exif_bytes:
        raise ImageTooLarge(f"the image has {size:,} bytes of EXIF; at most {limits.max_exif_bytes:,} are allowed")
