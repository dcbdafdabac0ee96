"""Decodes untrusted image files within limits. An image that cannot be decoded raises InvalidImage.

normalize.py handles orientation, transparency and depth. preprocessing/recipe.py has the steps of each model.
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
from model.images.limits import Limits, check_exif, check_jpeg, check_size, too_many_parts
from model.images.memory_budget import MemoryBudget
from model.images.normalize import BAND, BAND_BYTES, flatten, shrinking
from model.images.png import check_rows, prepare, without
from model.images.tiff_pixels import Tiff, is_tiff

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""The formats that Pillow may open. Its JPEG reader also opens MPO, which many phones write."""

_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{3}.{4,6})Exif", re.DOTALL)
"""The declaration of EXIF in an AVIF (ISO/IEC 14496-12, item information entry)."""

_READ_BLOCK = 4096
"""Bytes that Pillow reads between two checks of the CPU time. A shorter file is read in one call, without a check."""

_PIXEL_BYTES = {"WEBP": 16, "AVIF": 26}
"""Maximum bytes of memory for each pixel during decoding; 8 in other formats. They were measured over modes, depths,
alpha and animations. The maximum of AVIF is that of an image of 12 bits with alpha and film grain.
"""

_CODED_BYTES = 13
"""Bytes of memory for each pixel of an AVIF's frames above those of the image and its transparency."""

_FLATTEN_BYTES = 12
"""Maximum bytes for each pixel while an image is flattened, after it has been reduced."""

_OPENING_BYTES = 100_000_000
"""Maximum bytes of memory to open an image: those of the largest WebP, which needs more than other formats."""

_FAX = {"tiff_ccitt", "group3", "group4"}

_RAW_PROFILE = "Raw profile type exif"
"""The key of a PNG text with EXIF in hexadecimal digits after three other lines, as ImageMagick writes it."""

_PADDING = bytes(8)
"""Replaces the end marker after the only scan of a JPEG. It has as many bytes as libjpeg looks ahead.

At an end marker libjpeg fills missing pixels with grey and reports no error. Without one it requests more data, and
Pillow reports that the image is truncated.
"""


def decode_image(data: bytes, limits: Limits, decode_size: int | None = None) -> Image.Image:
    """Decode an image like `decoded`, without a shared memory budget."""
    with decoded(data, limits, decode_size, MemoryBudget(len(data))) as image:
        return image


@contextmanager
def decoded(data: bytes, limits: Limits, decode_size: int | None, budget: MemoryBudget) -> Iterator[Image.Image]:
    """Decode the first frame of an image file: upright, opaque (over white), 8 bits deep, in mode L or RGB.

    `decode_size`: the number of pixels that the shorter edge needs. Larger images are reduced by a whole factor.
    `budget`: the memory budget of all decoding threads. The image's memory is reserved until the block ends.
    Raises InvalidImage, ImageTooLarge or UnsupportedFormat for every fault of the bytes. Raises TimeoutError after a
    long wait for the budget, and MemoryError or OSError if the system has no memory or no file descriptor left.
    """
    opened, cost = _opened(data, limits, decode_size, budget)
    with budget.reserve(cost):
        image = _loaded(data, opened, limits, decode_size, cost)
        del opened  # frees the full size; only the reduced image is needed
        yield image


def _opened(
    data: bytes, limits: Limits, decode_size: int | None, budget: MemoryBudget
) -> tuple[ImageFile.ImageFile, int]:
    """Open an image and check its header. Returns the image and the bytes of memory that its decoding takes."""
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
    """Open an image, reduced if its decoder supports it, and check the limits that need Pillow's view of the file."""
    jpeg = header.jpeg
    if jpeg and not jpeg.several_scans:
        data = data[: jpeg.end] + _PADDING
    data = without(data, header.left_out)
    if data[4:8] == b"ftyp":  # the boxes of an AVIF state its orientation
        data = _EXIF_ITEM.sub(rb"\1none", data)
    file = _Clocked(data, limits) if len(data) > _READ_BLOCK else io.BytesIO(data)
    image = Tiff(file) if is_tiff(data) else Image.open(file, formats=FORMATS)
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
        return image.flat(decode_size) if isinstance(image, Tiff) else flatten(image, decode_size)
    except Exception as exc:
        raise _failure(exc, limits, cost) from exc


def _check_exif(image: Image.Image, limits: Limits) -> None:
    """Check the size of EXIF, and decode a raw profile here: Pillow would split it into possibly millions of lines."""
    check_exif(len(image.info.get("exif", b"")), limits)
    if profile := image.info.pop(_RAW_PROFILE, ""):
        check_exif(len(profile) // 2, limits)
        with suppress(ValueError):
            image.info.setdefault("exif", bytes.fromhex(profile.split("\n", 3)[-1]))


def _failure(exc: Exception, limits: Limits, cost: int) -> Exception:
    """Return the exception to raise for `exc`, which Pillow raised for an image that takes `cost` bytes of memory.

    Pillow's decoders raise a dozen kinds for damaged files. Each of them means a damaged file, unless memory is short.
    """
    if isinstance(exc, (InvalidImage, MemoryError, TimeoutError)):
        return exc
    if isinstance(exc, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageTooLarge(f"the image has more pixels than are allowed ({limits.max_pixels:,})")
    if isinstance(exc, OSError) and exc.errno is not None:
        return exc  # The system has no descriptor, memory or disk left. Pillow's own errors have no errno.
    if _memory_is_short(cost):
        return MemoryError(f"there is no memory to decode an image that takes {cost:,} bytes")
    if isinstance(exc, (UnidentifiedImageError, SyntaxError)):
        return InvalidImage(f"the bytes are not an image that can be read; allowed are {_formats()}")
    return InvalidImage("the image is truncated or damaged")


def _memory_is_short(cost: int) -> bool:
    """Return whether the system cannot provide twice `cost` bytes now.

    Without memory, libjpeg, libtiff and others fail with the same errors as for a damaged file. A redelivery to another
    worker may succeed.
    """
    try:
        mmap.mmap(-1, 2 * cost).close()
    except (OSError, MemoryError):
        return True
    return False


class _Clocked(io.BytesIO):
    """A file that limits the CPU time and the number of reads of its decoding, because some valid files take minutes.

    It measures the thread's CPU time instead of the elapsed time, so that a busy machine rejects no valid image. It
    counts reads, because a million parts of a byte each would keep the interpreter, and so all threads, busy.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        super().__init__(data)
        self._limits, self._reads = limits, 0
        self._deadline = time.thread_time() + limits.max_seconds

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > self._limits.max_reads:
            raise too_many_parts(self._limits.max_reads)
        if time.thread_time() > self._deadline:
            raise ImageTooLarge(f"the image takes longer than {self._limits.max_seconds:g} s to decode")
        return super().read(size)


def _formats() -> str:
    return ", ".join(FORMATS[:-1]) + " and " + FORMATS[-1]
