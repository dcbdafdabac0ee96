"""The step `frame` of a recipe: resizes and crops an image exactly as the library that trained the network does.

Other steps that resize average the pixels of large images first, which is faster and gives slightly other pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

# Left, top, right and lower edge of the part of the resized image that is kept, in its pixels.
_Box = tuple[int, int, int, int]

# Pixels of the largest image that is resized as a whole (24 MB). Of a larger one, by its extreme proportions, only the
# middle is computed: Pillow may then resize columns before rows, which rounds some pixels otherwise.
_WHOLE = 8_000_000

# The parameter of the cubic convolution that PyTorch and OpenCV use (Keys, "Cubic convolution
# interpolation for digital image processing", 1981). Pillow's is -0.5.
_CUBIC = -0.75


def frame(image: Image.Image, step: Mapping[str, Any]) -> Image.Image:
    """Resize an image (see `_resized`), and keep the middle `width` x `height` pixels; `colour` fills what is missing.

    `rounding` says where the middle is when half a pixel is left: `down` as in transformers, or `even` as in
    torchvision and timm. Raises ValueError for a resampling that always smooths with `antialias` false, and for a
    colour of other channels than the image's.
    """
    width, height, colour = step["width"], step["height"], _colour(image, step.get("colour", 0))
    across, down = resized = _resized(image.size, step)
    left, top = _start(across - width, step), _start(down - height, step)
    box = max(left, 0), max(top, 0), min(left + width, across), min(top + height, down)
    kept = _kept(image, resized, box, step)
    if kept.size == (width, height):
        return kept
    canvas = Image.new(image.mode, (width, height), colour)
    canvas.paste(kept, (max(-left, 0), max(-top, 0)))
    return canvas


def _colour(image: Image.Image, colour: int | list[int]) -> tuple[int, ...]:
    bands = len(image.getbands())
    if isinstance(colour, list) and len(colour) != bands:
        raise ValueError(f"colour is {colour}; the image has {bands} channels")
    return tuple(colour) if isinstance(colour, list) else (colour,) * bands


def _resized(size: tuple[int, int], step: Mapping[str, Any]) -> tuple[int, int]:
    """The size that the image gets: the box `resize_width` x `resize_height` with `stretch` as `fit`, and with its own
    proportions the smallest one that covers the box (`cover`), or the largest one inside it (`contain`)."""
    width, height = size
    box_width, box_height = step["resize_width"], step["resize_height"]
    if step["fit"] == "stretch":
        return box_width, box_height
    if step["fit"] == "cover" and box_width == box_height:  # as torchvision and transformers, which round down
        shorter = min(size)
        return int(box_width * width / shorter), int(box_width * height / shorter)
    ratios = width / box_width, height / box_height  # as timm, which rounds to the nearest
    ratio = min(ratios) if step["fit"] == "cover" else max(ratios)
    return max(1, round(width / ratio)), max(1, round(height / ratio))


def _start(rest: int, step: Mapping[str, Any]) -> int:
    """Where the middle begins when `rest` pixels are cut off in all. It is negative when the image is smaller."""
    if step.get("rounding", "down") == "down":
        return rest // 2
    return round(rest / 2) if rest > 0 else -(-rest // 2)


def _kept(image: Image.Image, resized: tuple[int, int], box: _Box, step: Mapping[str, Any]) -> Image.Image:
    """The part `box` of the image at the size `resized`."""
    if resized == image.size:
        return image.crop(box)
    resampling = step.get("resampling", "bilinear")
    if not step.get("antialias", True):
        if resampling not in ("bilinear", "bicubic"):
            raise ValueError(f"resampling is {resampling!r}; without antialias it must be bilinear or bicubic")
        return _interpolated(image, resized, box, cubic=resampling == "bicubic")
    method = Image.Resampling[resampling.upper()]
    if math.prod(resized) <= _WHOLE:
        return image.resize(resized, method).crop(box)
    across, down = image.width / resized[0], image.height / resized[1]
    source = box[0] * across, box[1] * down, min(box[2] * across, image.width), min(box[3] * down, image.height)
    return image.resize((box[2] - box[0], box[3] - box[1]), method, source)


def _interpolated(image: Image.Image, resized: tuple[int, int], box: _Box, *, cubic: bool) -> Image.Image:
    """The part of the resized image by interpolation between 2 or 4 pixels each way, however much smaller it is."""
    columns, across = _taps(image.width, resized[0], box[0], box[2], cubic)
    rows, down = _taps(image.height, resized[1], box[1], box[3], cubic)
    pixels = np.atleast_3d(np.asarray(image))
    mixed = np.zeros((len(rows), len(columns), pixels.shape[2]), np.float32)
    for row, above in zip(rows.T, down.T, strict=True):
        for column, left in zip(columns.T, across.T, strict=True):
            mixed += np.outer(above, left)[:, :, None] * pixels[row[:, None], column]
    whole = np.rint(mixed.clip(0, 255)).astype(np.uint8)
    return Image.fromarray(whole[:, :, 0] if image.mode == "L" else whole)


def _taps(
    source: int, resized: int, begin: int, end: int, cubic: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The pixels of a row and their weights, both [end - begin, 2 or 4], for pixels from `begin` of a resized row."""
    centres = (np.arange(begin, end) + 0.5) * (source / resized) - 0.5
    offsets = np.arange(-1, 3) if cubic else np.arange(2)
    places = np.floor(centres).astype(np.int64)[:, None] + offsets
    away = np.abs(centres[:, None] - places)
    if not cubic:
        weights = 1 - away
    else:
        near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
        far = _CUBIC * (((away - 5) * away + 8) * away - 4)
        weights = np.where(away <= 1, near, far)
    return places.clip(0, source - 1), weights.astype(np.float32)
