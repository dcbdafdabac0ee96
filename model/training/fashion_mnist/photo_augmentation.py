"""Makes dataset images look like photographs after the recipe: rotated, stretched, bent, in a narrow range of greys.

The dataset's garments hang straight, as if worn. In photographs they lie on floors with sleeves spread, and the recipe
maps their median grey to one level and cannot separate background between sleeves from cloth.
Elastic distortion: Simard, Steinkraus, Platt, "Best Practices for Convolutional Neural Networks" (2003).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Largest rotation, in radians, in either direction.
_TURN = np.deg2rad(15)

# Ranges of the logarithm of the sampling step for one pixel: negative values enlarge the garment.
_STRETCH_ROWS = -0.1, 0.1
_STRETCH_COLUMNS = -0.35, 0.25

# Knots per edge of the coarse grid of displacements, and the standard deviation of a displacement in pixels.
_KNOTS = 4
_BEND = 1.0

# Ranges of the mean grey, and of the factor on deviations from it, as foreground.py produces them for photographs.
_LEVEL = 85.0, 145.0
_GAIN = 0.4, 1.0

# Least brightness of an object, as in foreground.py.
_DARKEST = 40

# Pixels up to this grey count as background.
_OUTSIDE = 8

_Images = npt.NDArray[np.uint8]


def as_photo(images: _Images, rng: np.random.Generator) -> _Images:
    """Vary each image [N, H, W] independently."""
    return _toned(_warped(images, rng), rng)


def _warped(images: _Images, rng: np.random.Generator) -> _Images:
    """Rotate, stretch and bend about the middle, with bilinear interpolation; the outside is black."""
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
    """The weight of each knot for each row (or column), [size, knots], with linear interpolation between knots."""
    at = np.linspace(0, _KNOTS - 1, size)
    shares: npt.NDArray[np.float64] = np.clip(1 - np.abs(at[:, None] - np.arange(_KNOTS)), 0, None)
    return shares


def _toned(images: _Images, rng: np.random.Generator) -> _Images:
    """Move the garment's mean grey to one level and reduce its contrast, as the recipe does to photographs."""
    inside = images > _OUTSIDE
    pixels = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    mean = (images * inside).sum(axis=(1, 2), keepdims=True) / pixels
    level, gain = (rng.uniform(*span, (len(images), 1, 1)) for span in (_LEVEL, _GAIN))
    spread = np.clip(np.rint(level + gain * (images - mean)), _DARKEST, 255)
    return np.where(inside, spread, 0).astype(np.uint8)
