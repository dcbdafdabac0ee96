"""Dataset images made to look as photos do after the serving recipe: turned, widened, bent, in narrow shades of grey.

The dataset's garments hang straight on invisible people; in photos they lie on floors, sleeves apart, and the recipe
sets their median grey to one level and cannot tell background seen between sleeves from cloth.
Elastic bending: Simard, Steinkraus, Platt, "Best Practices for Convolutional Neural Networks" (2003).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_TURN = np.deg2rad(15)
_STRETCH_ROWS = -0.1, 0.1
_STRETCH_COLUMNS = -0.35, 0.25
"""Logarithms of the step in the source for one pixel: below 0 the garment grows."""

_KNOTS = 4
_BEND = 1.0
"""Standard deviation, in pixels, of the moves of a coarse grid's knots."""

_LEVEL = 85.0, 145.0
_GAIN = 0.4, 1.0
_DARKEST = 40
"""As foreground.py leaves them: mean grey, spread around it, and the darkest that an object may be."""

_OUTSIDE = 8

_Images = npt.NDArray[np.uint8]


def as_photo(images: _Images, rng: np.random.Generator) -> _Images:
    """Each image [N, H, W] varied on its own."""
    return _toned(_warped(images, rng), rng)


def _warped(images: _Images, rng: np.random.Generator) -> _Images:
    """Turned, stretched and bent about the middle, read between pixels in lines; what comes from outside is black."""
    count, height, width = images.shape
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    angle = rng.uniform(-_TURN, _TURN, (count, 1, 1))
    tall = np.exp(rng.uniform(*_STRETCH_ROWS, (count, 1, 1)))
    wide = np.exp(rng.uniform(*_STRETCH_COLUMNS, (count, 1, 1)))
    bend_rows, bend_columns = _hat(height) @ rng.normal(0, _BEND, (2, count, _KNOTS, _KNOTS)) @ _hat(width).T
    down = np.arange(height)[:, None] - middle_row
    right = np.arange(width)[None, :] - middle_column
    rows = (np.cos(angle) * down + np.sin(angle) * right) * tall + middle_row + bend_rows
    columns = (np.cos(angle) * right - np.sin(angle) * down) * wide + middle_column + bend_columns

    padded = np.pad(images, ((0, 0), (1, 2), (1, 2))).astype(np.float64)
    rows, columns = np.clip(rows + 1, 0, height + 1), np.clip(columns + 1, 0, width + 1)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    lower, righter = rows - top, columns - left
    each = np.arange(count)[:, None, None]
    above = padded[each, top, left] * (1 - righter) + padded[each, top, left + 1] * righter
    below = padded[each, top + 1, left] * (1 - righter) + padded[each, top + 1, left + 1] * righter
    read: _Images = np.rint(above * (1 - lower) + below * lower).astype(np.uint8)
    return read


def _hat(size: int) -> npt.NDArray[np.float64]:
    """How much of each knot a row (or column) takes: [size, knots], in lines from one to the next."""
    at = np.linspace(0, _KNOTS - 1, size)
    shares: npt.NDArray[np.float64] = np.clip(1 - np.abs(at[:, None] - np.arange(_KNOTS)), 0, None)
    return shares


def _toned(images: _Images, rng: np.random.Generator) -> _Images:
    """The garment's greys moved to one level and drawn together, as the recipe does to photos."""
    inside = images > _OUTSIDE
    pixels = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    mean = (images * inside).sum(axis=(1, 2), keepdims=True) / pixels
    level, gain = (rng.uniform(*span, (len(images), 1, 1)) for span in (_LEVEL, _GAIN))
    spread = np.clip(np.rint(level + gain * (images - mean)), _DARKEST, 255)
    return np.where(inside, spread, 0).astype(np.uint8)
