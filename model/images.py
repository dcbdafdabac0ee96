"""From a stranger's bytes to pixels: formats and limits. A refusal is an InvalidImage.

Orientation, transparency and depth are flatten.py's; what happens afterwards is a model's own recipe, in preprocess.py.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from PIL import Image, ImageFile, UnidentifiedImageError

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.flatten import flatten, shrinking
from model.jpeg import count_scans, exif_bytes
from model.room import Room
from model.sniff import foreign_format
from model.tiff import check_directory

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open; its JPEG reader also opens MPO, the JPEGs of many phones."""

_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{3}.{4,6})Exif", re.DOTALL)
"""Of an AVIF, where it is declared (ISO/IEC 14496-12, item information entry)."""

_READ_BLOCK = 4096
"""Bytes between two looks at the clock. Shorter files need none: they are read at once, where nothing could stop it."""


_COST = {"WEBP": 16, "AVIF": 16}
"""Bytes of memory that a pixel costs at most while it is decoded, as measured; 8 where not named."""

_WORK, _COEFFICIENTS = 12, 6
"""And while what is left of it is flattened; and in a progressive JPEG, before it is made smaller."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost: bytes, pixels by format (16 million where not named), pixels of an edge, JPEG scans,
    pixels times scans, parts that are read one by one, bytes of EXIF, seconds of CPU time for decoding.

    JPEGs may be larger because they are decoded at a fraction of their size; progressive ones hold every coefficient.
    WebP and AVIF are decoded in one go that no clock can stop.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 16_000_000
    max_pixels_of: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType(
            {"JPEG": 64_000_000, "MPO": 64_000_000, "progressive": 32_000_000, "WEBP": 12_500_000, "AVIF": 12_500_000}
        )
    )
    max_edge: int = 65_535
    max_scans: int = 100
    max_scanned_pixels: int = 400_000_000
    max_reads: int = 60_000
    max_exif_bytes: int = 500_000
    max_seconds: float = 1.0


def decode_image(data: bytes, limits: Limits, decode_size: int | None = None) -> Image.Image:
    """What `decoded` gives, where no other thread decodes."""
    with decoded(data, limits, decode_size, Room(len(data))) as image:
        return image


@contextmanager
def decoded(data: bytes, limits: Limits, decode_size: int | None, room: Room) -> Iterator[Image.Image]:
    """Read the first frame of an image file, upright, opaque (over white), 8 bits deep, in mode L or RGB.

    `decode_size`: pixels that the shorter edge is worth at most; larger images come at a fraction of their size.
    `room`: the memory that all threads may take that decode; it is held until the block ends, and with it the image.
    Raises InvalidImage, ImageTooLarge or UnsupportedFormat; never anything else for what is wrong with the bytes.
    TimeoutError when there is no room for long.
    """
    image, cost = _opened(data, limits, decode_size, room)
    with room.taken(cost):
        image = _loaded(image, limits, decode_size)  # the name is given up: what is made small lives on alone
        yield image


def _opened(data: bytes, limits: Limits, decode_size: int | None, room: Room) -> tuple[Image.Image, int]:
    """An image that may be decoded, to judge by its header, and the bytes of memory that this takes."""
    if not data:
        raise InvalidImage("the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image is {len(data):,} bytes; at most {limits.max_bytes:,} are allowed")
    if name := foreign_format(data):
        raise UnsupportedFormat(f"the image is {name}; allowed are {_formats()}")
    try:
        # Opening costs as the file is long: some are a million parts without a pixel.
        with room.taken(len(data)):
            image = _open(data, limits)
        _check(image, data, limits)
        coefficients = image.width * image.height if "progressive" in image.info else 0
        if decode_size and image.format in {"JPEG", "MPO"}:
            image.draft(None, (decode_size, decode_size))
        image.decodermaxblock = _READ_BLOCK
        return image, _cost(image, decode_size) + _COEFFICIENTS * coefficients
    except _OURS:
        raise
    except Exception as exc:
        raise _refusal(exc, limits) from exc


def _loaded(image: Image.Image, limits: Limits, decode_size: int | None) -> Image.Image:
    try:
        image.load()
        _check_exif(len(image.info.get("exif", b"")), limits)
        return flatten(image, decode_size)
    except _OURS:
        raise
    except Exception as exc:
        raise _refusal(exc, limits) from exc


_OURS = (InvalidImage, MemoryError, TimeoutError)
"""Said already, or no fault of the file's."""


def _refusal(exc: Exception, limits: Limits) -> InvalidImage:
    """Pillow's decoders raise a dozen kinds for damaged files: all of them are the file's fault."""
    if isinstance(exc, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageTooLarge(f"the image has more pixels than are allowed ({limits.max_pixels:,})")
    if isinstance(exc, UnidentifiedImageError):
        return InvalidImage(f"the bytes are not an image that can be read; allowed are {_formats()}")
    return InvalidImage("the image is truncated or damaged")


def _open(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    """Look at what Pillow would act on at once, then let it."""
    if data.startswith(b"\xff\xd8"):
        _check_exif(exif_bytes(data), limits)
    if data[4:8] == b"ftyp":  # an AVIF says in boxes of its own how it is turned
        data = _EXIF_ITEM.sub(rb"\1none", data)
    check_directory(data, limits.max_pixels)
    file = _Clocked(data, limits) if len(data) > _READ_BLOCK else io.BytesIO(data)
    return Image.open(file, formats=FORMATS)


class _Clocked(io.BytesIO):
    """A file that stops being read when its time is up: some valid files take minutes.

    The thread's CPU time, not the clock on the wall: on a busy machine a good image must not become a bad one. Reads
    are counted too: a million parts of a byte each keep Python busy, and with it every other thread.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        super().__init__(data)
        self._limits, self._reads = limits, 0
        self._deadline = time.thread_time() + limits.max_seconds

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > self._limits.max_reads:
            raise ImageTooLarge(f"the image has too many parts; at most {self._limits.max_reads:,} are read")
        if time.thread_time() > self._deadline:
            raise ImageTooLarge(f"the image takes longer than {self._limits.max_seconds:g} s to decode")
        return super().read(size)


def _cost(image: Image.Image, decode_size: int | None) -> int:
    pixels = image.width * image.height
    return _COST.get(image.format or "", 8) * pixels + _WORK * pixels // shrinking(image.size, decode_size) ** 2


def _check(image: Image.Image, data: bytes, limits: Limits) -> None:
    """Refuse by the header alone, before a pixel is decoded."""
    width, height = image.size
    if width < 1 or height < 1:
        raise InvalidImage(f"the image is {width}x{height} pixels")
    if max(width, height) > limits.max_edge:
        raise ImageTooLarge(f"the image is {width}x{height} pixels; at most {limits.max_edge:,} an edge are allowed")
    kind = "progressive" if "progressive" in image.info else (image.format or "")
    allowed = limits.max_pixels_of.get(kind, limits.max_pixels)
    if width * height > allowed:
        raise ImageTooLarge(f"the image is {width}x{height} pixels; at most {allowed:,} are allowed for {kind}")
    if image.format not in {"JPEG", "MPO"}:
        return
    if (scans := count_scans(data)) > limits.max_scans:
        raise ImageTooLarge(f"the image has {scans} scans; at most {limits.max_scans} are allowed")
    if (scanned := scans * width * height) > limits.max_scanned_pixels:
        raise ImageTooLarge(
            f"the image has {scans} scans of {width}x{height} pixels, which makes {scanned:,}; "
            f"at most {limits.max_scanned_pixels:,} are allowed"
        )


def _check_exif(size: int, limits: Limits) -> None:
    """Pillow reads it in Python, number by number, where no clock can stop it."""
    if size > limits.max_exif_bytes:
        raise ImageTooLarge(f"the image has {size:,} bytes of EXIF; at most {limits.max_exif_bytes:,} are allowed")


def _formats() -> str:
    return ", ".join(FORMATS[:-1]) + " and " + FORMATS[-1]
