"""From untrusted bytes to pixels: formats and limits. A refusal is an InvalidImage.

Orientation, transparency and depth are normalize.py's; what happens afterwards is a model's own recipe, in recipe.py.
"""

from __future__ import annotations

import io
import mmap
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from PIL import Image, ImageFile, UnidentifiedImageError

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.images.format_sniffing import foreign_format
from model.images.header import Header, read_header
from model.images.libtiff import check_fax, no_errors
from model.images.limits import Limits, check_exif, check_jpeg, check_size
from model.images.memory_budget import MemoryBudget
from model.images.normalize import BAND, BAND_BYTES, flatten, shrinking
from model.images.png import check_rows, prepare

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

_RAW_PROFILE = "Raw profile type exif"
"""A text of a PNG with EXIF in hexadecimal numbers, as ImageMagick writes it behind three lines of another kind."""

_PADDING = bytes(8)
"""Data behind the only scan of a JPEG, instead of its end marker: as many bytes as libjpeg looks ahead.

At an end marker libjpeg paints what is missing grey and passes over it. Without one it asks for more, and Pillow says
that the image is truncated.
"""


def decode_image(data: bytes, limits: Limits, decode_size: int | None = None) -> Image.Image:
    """What `decoded` gives, where no other thread decodes."""
    with decoded(data, limits, decode_size, MemoryBudget(len(data))) as image:
        return image


@contextmanager
def decoded(data: bytes, limits: Limits, decode_size: int | None, budget: MemoryBudget) -> Iterator[Image.Image]:
    """Read the first frame of an image file, upright, opaque (over white), 8 bits deep, in mode L or RGB.

    `decode_size`: pixels that the shorter edge is worth at most; larger images come at a fraction of their size.
    `budget`: the memory of all decoding threads; the image's share is reserved until the block ends.
    Raises InvalidImage, ImageTooLarge or UnsupportedFormat; never anything else for what is wrong with the bytes.
    TimeoutError after a long wait for the budget; MemoryError and OSError when the system has no memory or file left.
    """
    opened, cost = _opened(data, limits, decode_size, budget)
    with budget.reserve(cost):
        image = _loaded(data, opened, limits, decode_size, cost)
        del opened  # what is made small lives on alone
        yield image


def _opened(
    data: bytes, limits: Limits, decode_size: int | None, budget: MemoryBudget
) -> tuple[ImageFile.ImageFile, int]:
    """An image that may be decoded, to judge by its header, and the bytes of memory that this takes."""
    if not data:
        raise InvalidImage("the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image is {len(data):,} bytes; at most {limits.max_bytes:,} are allowed")
    if name := foreign_format(data):
        raise UnsupportedFormat(f"the image is {name}; allowed are {_formats()}")
    try:
        header = read_header(data, limits)
        with budget.reserve(header.opening_bytes):
            image = _open(data, header, limits, decode_size)
        image.decodermaxblock = _READ_BLOCK
        return image, header.opening_bytes + header.decoder_bytes + _pixel_bytes(image, header, decode_size)
    except Exception as exc:
        raise _failure(exc, limits, _OPENING_BYTES) from exc


def _open(data: bytes, header: Header, limits: Limits, decode_size: int | None) -> ImageFile.ImageFile:
    """Open an image, at a fraction of its size where its decoder can do that, and check what was not known before."""
    jpeg = header.jpeg
    if jpeg and not jpeg.several_scans:
        data = data[: jpeg.end] + _PADDING
    if data[4:8] == b"ftyp":  # an AVIF says in boxes of its own how it is turned
        data = _EXIF_ITEM.sub(rb"\1none", data)
    file = _Clocked(data, limits) if len(data) > _READ_BLOCK else io.BytesIO(data)
    image = Image.open(file, formats=FORMATS)
    check_size(image, jpeg, limits)
    if image.info.get("compression") in _FAX:
        check_fax(data)
    if jpeg:
        check_jpeg(jpeg, image, limits)
        if decode_size and not jpeg.lossless:
            image.draft(None, (decode_size, decode_size))
    return image


def _pixel_bytes(image: Image.Image, header: Header, decode_size: int | None) -> int:
    pixels = image.width * image.height
    per_pixel = _PIXEL_BYTES.get(image.format or "", 8)
    flattened = _FLATTEN_BYTES * pixels // shrinking(image.size, decode_size) ** 2
    larger = _CODED_BYTES * max(0, header.coded_pixels - 2 * pixels)
    return per_pixel * pixels + flattened + BAND_BYTES * min(pixels, BAND) + larger


def _loaded(data: bytes, image: ImageFile.ImageFile, limits: Limits, decode_size: int | None, cost: int) -> Image.Image:
    try:
        if image.format == "PNG":
            prepare(image)
        with no_errors() if image.format == "TIFF" else nullcontext():
            image.load()
        if image.format == "PNG":
            check_rows(image, data, limits)
        _check_exif(image, limits)
        return flatten(image, decode_size)
    except Exception as exc:
        raise _failure(exc, limits, cost) from exc


def _check_exif(image: Image.Image, limits: Limits) -> None:
    """Pillow would split a raw profile into its lines, which may be millions; here it is unpacked at once."""
    check_exif(len(image.info.get("exif", b"")), limits)
    if profile := image.info.pop(_RAW_PROFILE, ""):
        check_exif(len(profile) // 2, limits)
        with suppress(ValueError):
            image.info.setdefault("exif", bytes.fromhex(profile.split("\n", 3)[-1]))


def _failure(exc: Exception, limits: Limits, cost: int) -> Exception:
    """What to raise for `exc`, which came up while an image was decoded that was to take `cost` bytes of memory.

    Pillow's decoders raise a dozen kinds for damaged files: all of them are the file's fault, unless memory was short.
    """
    if isinstance(exc, (InvalidImage, MemoryError, TimeoutError)):
        return exc
    if isinstance(exc, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageTooLarge(f"the image has more pixels than are allowed ({limits.max_pixels:,})")
    if isinstance(exc, OSError) and exc.errno is not None:
        return exc  # The system has no file, no memory or no disk left. Pillow's own errors have no number.
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
