"""Normalizes a decoded image of any mode: upright, opaque (over white), 8 bits deep, in mode L or RGB.

Large images are reduced first and processed in bands, because each copy takes as much memory as the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

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
BAND, BAND_BYTES = 250_000, 24
"""Number of pixels that are processed at once, and the bytes of memory for each of them."""


def flatten(image: Image.Image, decode_size: int | None) -> Image.Image:
    """Normalize a loaded image. The shorter edge keeps at least `decode_size` pixels. May return the image itself."""
    orientation = _orientation(image)
    # Pillow can average images of modes I and F before their scaling, and those of 16 bits only afterwards.
    shallow = _shallow(_reduced(image, decode_size) if image.mode in {"I", "F"} else image)
    flat = _opaque(_reduced(shallow, decode_size))
    turn = _TURN.get(orientation)
    return flat if turn is None else flat.transpose(turn)


def _shallow(image: Image.Image) -> Image.Image:
    """Scale grey images of more than 8 bits to 8 bits. Pillow's own conversion clips values."""
    if image.mode[0] not in "IF":
        return image
    deep, clear = np.asarray(image), image.info.get("transparency")
    if image.mode.startswith("I;16"):
        table = np.rint(np.arange(65536) / 257).astype(np.uint8)
        if isinstance(clear, int):
            table[clear] = 255
        return Image.fromarray(table[deep])
    shallow = np.empty(deep.shape, np.uint8)
    rows = max(1, BAND // image.width)
    bands = [slice(first, first + rows) for first in range(0, image.height, rows)]
    low = min(float(_finite(deep[band]).min()) for band in bands)
    high = max(float(_finite(deep[band]).max()) for band in bands)
    for band in bands:
        pixels = _finite(deep[band])
        if image.mode == "I" and low >= 0 and 255 < high <= 65535:
            scaled = pixels / 257
        elif image.mode == "F" and low >= 0 and high <= 1:
            scaled = pixels * 255
        elif low < 0 or high > 255:
            scaled = (pixels - low) * (255 / (high - low))
        else:
            scaled = pixels
        shallow[band] = np.where(pixels == clear, 255, np.rint(scaled))
    return Image.fromarray(shallow)


def _finite(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)


def shrinking(size: tuple[int, int], decode_size: int | None) -> int:
    """Return the whole factor by which an image is reduced so that its shorter edge keeps `decode_size` pixels."""
    return max(1, min(size) // decode_size) if decode_size else 1


def _reduced(image: Image.Image, decode_size: int | None) -> Image.Image:
    """Reduce an image by a whole factor, as the JPEG decoder does."""
    factor = shrinking(image.size, decode_size)
    if factor == 1 or (image.mode in {"I", "F"} and "transparency" in image.info):
        return image
    rows = factor * max(1, BAND // (image.width * factor))
    bands = [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    shrunk = [_as_averageable(image.crop(band)).reduce(factor) for band in bands]
    whole = Image.new(shrunk[0].mode, (shrunk[0].width, sum(band.height for band in shrunk)))
    for number, band in enumerate(shrunk):
        whole.paste(band, (0, number * rows // factor))
    return whole


def _as_averageable(image: Image.Image) -> Image.Image:
    """Convert an image whose pixels cannot be averaged: palette indices, transparent key colours and single bits."""
    if image.mode in {"P", "PA"} or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("L") if image.mode == "1" else image


def _opaque(image: Image.Image) -> Image.Image:
    """Composite transparency over white, and convert to L or RGB."""
    if image.has_transparency_data:
        flat = Image.new("RGB", image.size)
        rows = max(1, BAND // image.width)
        for top in range(0, image.height, rows):
            band = image.crop((0, top, image.width, min(top + rows, image.height)))
            straight = band.convert("LA").convert("RGBA") if image.mode == "La" else band.convert("RGBA")
            flat.paste(Image.alpha_composite(Image.new("RGBA", band.size, "white"), straight).convert("RGB"), (0, top))
        return flat
    if image.mode in {"L", "RGB"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF does not affect the pixels
        return 1
