"""From a stranger's bytes to pixels: formats and limits. A refusal is an InvalidImage.

Orientation, transparency and depth are normalize.py's; what happens afterwards is a model's own recipe, in recipe.py.
"""

from __future__ import annotations

import io
import mmap
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from PIL import Image, ImageFile, UnidentifiedImageError

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.images.avif import coded_pixels
from model.images.format_sniffing import foreign_format
from model.images.jpeg import exif_bytes, read_jpeg
from model.images.libtiff import check_fax, no_errors
from model.images.limits import Limits, check_coded, check_exif, check_jpeg, check_size
from model.images.memory_budget import Room
from model.images.normalize import BAND, BAND_BYTES, flatten, shrinking
from model.images.tiff import check_directory
from model.images.webp import prefix_code_bytes

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open; its JPEG reader also opens MPO, the JPEGs of many phones."""

_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{3}.{4,6})Exif", re.DOTALL)
"""Of an AVIF, where it is declared (ISO/IEC 14496-12, item information entry)."""

_READ_BLOCK = 4096
"""Bytes between two looks at the clock. Shorter files need none: they are read at once, where nothing could stop it."""

_PIXEL_BYTES = {"WEBP": 16, "AVIF": 26}
"""Bytes of memory that a pixel takes at most while it is decoded; 8 in other formats. Measured over modes, depths,
alpha and animations; the most of an AVIF is one of 12 bits with alpha and film grain.
"""

_CODED_BYTES = 13
"""Bytes of memory for a pixel of an AVIF's frames, where they have more than the image and its transparency."""

_FLATTEN_BYTES = 12
"""Bytes that a pixel takes at most while the image is flattened, after it has been made smaller."""

_OPENING_BYTES = 100_000_000
"""Memory that the largest WebP takes when it is opened, which is more than other formats."""

_FAX = {"tiff_ccitt", "group3", "group4"}

_TEXT_BYTES, MAX_TEXTS = 4_000_000, 20
"""Bytes of memory for a compressed text in a PNG (Pillow unpacks a megabyte, and a character takes up to four bytes),
and how many texts are read. They may say how the image is turned.
"""

_PADDING = bytes(8)
"""Data behind the only scan of a JPEG, in place of its end marker: as many bytes as libjpeg looks ahead.

At an end marker libjpeg paints what is missing grey and passes over it. Without one it asks for more, and Pillow says
that the image is truncated.
"""


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
        image = _loaded(image, limits, decode_size, cost)  # the name is given up: what is made small lives on alone
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
            image, decoder_bytes = _open(data, limits, decode_size)
        image.decodermaxblock = _READ_BLOCK
        return image, len(data) + decoder_bytes + _pixel_bytes(image, decode_size)
    except Exception as exc:
        raise _failure(exc, limits, _OPENING_BYTES) from exc


def _open(data: bytes, limits: Limits, decode_size: int | None) -> tuple[ImageFile.ImageFile, int]:
    """Look at what Pillow would act on at once, then let it. Gives the image, at a fraction of its size where its
    decoder can do that, and the bytes of memory that the decoder takes beside the pixels.
    """
    jpeg = None
    if data.startswith(b"\xff\xd8"):
        check_exif(exif_bytes(data), limits)
        jpeg = read_jpeg(data)
        if not jpeg.several_scans:
            data = data[: jpeg.end] + _PADDING
    coded = coded_pixels(data)
    check_coded(coded, limits)
    if data[4:8] == b"ftyp":  # an AVIF says in boxes of its own how it is turned
        data = _EXIF_ITEM.sub(rb"\1none", data)
    decoder_bytes = jpeg.coefficient_bytes if jpeg else _decoder_bytes(data, limits)
    file = _Clocked(data, limits) if len(data) > _READ_BLOCK else io.BytesIO(data)
    image = Image.open(file, formats=FORMATS)
    check_size(image, jpeg, limits)
    decoder_bytes += _CODED_BYTES * max(0, coded - 2 * image.width * image.height)
    if image.info.get("compression") in _FAX:
        check_fax(data)
    if jpeg:
        check_jpeg(jpeg, image, limits)
        if decode_size and not jpeg.lossless:
            image.draft(None, (decode_size, decode_size))
    return image, decoder_bytes


def _decoder_bytes(data: bytes, limits: Limits) -> int:
    return check_directory(data, limits) + _text_bytes(data) + prefix_code_bytes(data)


def _pixel_bytes(image: Image.Image, decode_size: int | None) -> int:
    pixels = image.width * image.height
    per_pixel = _PIXEL_BYTES.get(image.format or "", 8)
    flattened = _FLATTEN_BYTES * pixels // shrinking(image.size, decode_size) ** 2
    return per_pixel * pixels + flattened + BAND_BYTES * min(pixels, BAND)


def _text_bytes(data: bytes) -> int:
    """Bytes of memory for a PNG's compressed texts; 0 for other formats."""
    if not data.startswith(b"\x89PNG"):
        return 0
    if (texts := data.count(b"iTXt") + data.count(b"zTXt")) > MAX_TEXTS:
        raise ImageTooLarge(f"the image has {texts} compressed texts; at most {MAX_TEXTS} are allowed")
    return _TEXT_BYTES * texts


def _loaded(image: Image.Image, limits: Limits, decode_size: int | None, cost: int) -> Image.Image:
    try:
        with no_errors() if image.format == "TIFF" else nullcontext():
            image.load()
        check_exif(len(image.info.get("exif", b"")), limits)
        return flatten(image, decode_size)
    except Exception as exc:
        raise _failure(exc, limits, cost) from exc


def _failure(exc: Exception, limits: Limits, cost: int) -> Exception:
    """What to raise for `exc`, which came up while an image was decoded that was to take `cost` bytes of memory.

    Pillow's decoders raise a dozen kinds for damaged files: all of them are the file's fault, unless memory was short.
    """
    if isinstance(exc, (InvalidImage, MemoryError, TimeoutError)):
        return exc
    if isinstance(exc, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageTooLarge(f"the image has more pixels than are allowed ({limits.max_pixels:,})")
    if _memory_is_short(cost):
        return MemoryError(f"there is no memory to decode an image that takes {cost:,} bytes")
    if isinstance(exc, UnidentifiedImageError):
        return InvalidImage(f"the bytes are not an image that can be read; allowed are {_formats()}")
    return InvalidImage("the image is truncated or damaged")


def _memory_is_short(cost: int) -> bool:
    """Whether twice as many bytes cannot be had now. Without memory libjpeg, libtiff and others fail as they do at a
    damaged file, and another worker may have more.
    """
    try:
        mmap.mmap(-1, 2 * cost).close()
    except (OSError, MemoryError):
        return True
    return False


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


def _formats() -> str:
    return ", ".join(FORMATS[:-1]) + " and " + FORMATS[-1]
