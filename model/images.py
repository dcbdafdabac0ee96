"""From a stranger's bytes to pixels: formats, limits, orientation, transparency, depth. A refusal is an InvalidImage.

What happens to the pixels afterwards is a model's own recipe, in preprocess.py.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from PIL import Image, UnidentifiedImageError

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.sniff import foreign_format

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open; its JPEG reader also opens MPO, the JPEGs of many phones."""

_ORIENTATION_TAG = 0x0112
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SCAN_MARKER = b"\xff\xda"
_READ_BLOCK = 4096
"""Bytes between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost: bytes, pixels by format (16 million where not named), JPEG scans, seconds of decoding.

    JPEGs may be larger because they are decoded at a fraction of their size; progressive ones hold every coefficient.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 16_000_000
    max_pixels_of: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType({"JPEG": 64_000_000, "MPO": 64_000_000, "progressive": 32_000_000})
    )
    max_scans: int = 100
    max_seconds: float = 5.0


def decode_image(data: bytes, limits: Limits, decode_size: int | None = None) -> Image.Image:
    """Read the first frame of an image file, upright, opaque (over white), 8 bits deep, in mode L or RGB.

    `decode_size`: pixels that the shorter edge is worth at most; JPEGs are then decoded at a fraction of their size.
    Raises InvalidImage, ImageTooLarge or UnsupportedFormat; never anything else for what is wrong with the bytes.
    """
    if not data:
        raise InvalidImage("the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image is {len(data):,} bytes; at most {limits.max_bytes:,} are allowed")
    if name := foreign_format(data):
        raise UnsupportedFormat(f"the image is {name}; allowed are {_formats()}")
    try:
        with Image.open(_Clocked(data, limits.max_seconds), formats=FORMATS) as image:
            _check(image, data, limits)
            if decode_size and image.format in {"JPEG", "MPO"}:
                image.draft(None, (decode_size, decode_size))
            image.decodermaxblock = _READ_BLOCK
            image.load()
            return _upright(_opaque(_shallow(image)), _orientation(image))
    except (InvalidImage, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise ImageTooLarge(f"the image has more pixels than are allowed ({limits.max_pixels:,})") from exc
    except UnidentifiedImageError as exc:
        raise InvalidImage(f"the bytes are not an image that can be read; allowed are {_formats()}") from exc
    except (
        Exception
    ) as exc:  # Pillow's decoders raise a dozen kinds for damaged files: all of them are the file's fault
        raise InvalidImage("the image is truncated or damaged") from exc


class _Clocked(io.BytesIO):
    """A file that stops being read when its time is up: some valid files take minutes.

    The time is this thread's on the processor: on a machine that is busy or was stopped, a good file stays a good file.
    """

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self._seconds = seconds
        self._deadline = time.thread_time() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self._deadline:
            raise ImageTooLarge(f"the image takes longer than {self._seconds:g} s to decode")
        return super().read(size)


def _check(image: Image.Image, data: bytes, limits: Limits) -> None:
    """Refuse by the header alone, before a pixel is decoded."""
    width, height = image.size
    if width < 1 or height < 1:
        raise InvalidImage(f"the image is {width}x{height} pixels")
    kind = "progressive" if "progressive" in image.info else (image.format or "")
    allowed = limits.max_pixels_of.get(kind, limits.max_pixels)
    if width * height > allowed:
        raise ImageTooLarge(f"the image is {width}x{height} pixels; at most {allowed:,} are allowed for {kind}")
    if image.format in {"JPEG", "MPO"} and (scans := data.count(_SCAN_MARKER)) > limits.max_scans:
        raise ImageTooLarge(f"the image has {scans} scans; at most {limits.max_scans} are allowed")


def _shallow(image: Image.Image) -> Image.Image:
    """Scale deep grey images to 8 bits; Pillow itself would clip them."""
    if image.mode[0] not in "IF":
        return image
    pixels = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    low, high = float(pixels.min()), float(pixels.max())
    clear = pixels == image.info.get("transparency")
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and 255 < high <= 65535):
        pixels = pixels / 257
    elif image.mode == "F" and low >= 0 and high <= 1:
        pixels = pixels * 255
    elif low < 0 or high > 255:
        pixels = (pixels - low) * (255 / (high - low))
    pixels[clear] = 255
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """Lay transparency over white; give L or RGB."""
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        straight = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        white = Image.new("RGBA", straight.size, "white")
        return Image.alpha_composite(white, straight).convert("RGB")
    if image.mode in {"L", "RGB"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURN.get(orientation)
    return image.copy() if turn is None else image.transpose(turn)


def _formats() -> str:
    return ", ".join(FORMATS[:-1]) + " and " + FORMATS[-1]
