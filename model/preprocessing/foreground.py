"""Finding what stands in the middle of a plain background, by colour, without holes. A step of preprocessing recipes.

The threshold between background and object is Otsu's ("A Threshold Selection Method from Gray-Level Histograms", 1979).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from model.preprocessing.connected_components import Mask, filled, pieces

_BORDER = 0.04
"""How wide the border is that is taken for background, as a share of the shorter edge."""

_SPREADS = 20.0, 12.0, 12.0, 12.0
"""Steps of 255 from the background at which a pixel of the border counts half, for each round of fitting."""

_LEVEL_UNLESS = np.diag([0.0, 2.0, 2.0]).astype(np.float32)
"""Holds the background level where the border does not say otherwise, as in images one pixel wide."""

_MIDDLE = 0.25
_FAIR_PART = 0.5
"""How far the middle reaches (standard deviation, share of the edge), and what a second piece needs of the first's."""

_LEAST_DISTANCE = 8
"""Steps of 255 by which an object must differ from the background: less is noise of the camera."""

_DARKEST = 40
"""What the object is lifted to at least, so that it never sinks into the background."""


def isolate(image: Image.Image, level: float, gain: float) -> Image.Image:
    """A mode L image: the background 0, the object's negated grey spread by `gain` around `level` (both in 0..255).

    An image with nothing on it is all 0. Meant for small images: the caller shrinks first.
    """
    mask = object_mask(image)
    if not mask.any():
        return Image.new("L", image.size)
    negated = 255 - np.asarray(image.convert("L"), dtype=np.float32)
    spread = level + gain * (negated - np.median(negated[mask]))
    return Image.fromarray(np.where(mask, np.clip(np.rint(spread), _DARKEST, 255), 0).astype(np.uint8))


def object_mask(image: Image.Image) -> Mask:
    """Which pixels [height, width] belong to what stands in the middle and differs in colour from the background."""
    smooth = image.convert("RGB").filter(ImageFilter.GaussianBlur(1))
    pixels = np.asarray(smooth, dtype=np.float32)
    distance = _largest(np.abs(np.moveaxis(pixels, 2, 0) - _background(pixels))).clip(0, 255).astype(np.uint8)
    far = distance > max(_otsu(distance), _LEAST_DISTANCE)
    # A pixel is what most of the 5x5 around it are: of two values the mean tells that far sooner than the median.
    tidy = Image.fromarray(far.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(2))
    return filled(_central(np.asarray(tidy) > 127))


def _background(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The border's colours carried on over the whole image [3, height, width]: a plane for each channel.

    Light falls off across a floor, so one colour would not do. Garments may reach the border: pixels far from the plane
    count little (Cauchy's weights; Holland, Welsch, "Robust Regression Using Iteratively Reweighted Least-Squares",
    1977).
    """
    height, width = pixels.shape[:2]
    edge = max(1, round(_BORDER * min(height, width)))
    border = np.ones((height, width), np.bool_)
    border[edge : height - edge, edge : width - edge] = False
    down, right = (np.arange(size, dtype=np.float32) / size - np.float32(0.5) for size in (height, width))
    rows, columns = np.nonzero(border)
    places, colours = np.stack([np.ones_like(down[rows]), down[rows], right[columns]], axis=1), pixels[rows, columns]
    level = np.median(colours, axis=0)
    plane = np.stack([level, np.zeros_like(level), np.zeros_like(level)])
    for spread in _SPREADS:
        weights = 1 / (1 + (_largest(np.abs(colours - places @ plane).T) / spread) ** 2)
        weighted = (places * weights[:, None]).T
        plane = np.linalg.solve(weighted @ places + _LEVEL_UNLESS, weighted @ colours)
    level, falling, turning = plane[:, :, None, None]  # channels first: NumPy's inner loop is a row, not three numbers
    everywhere: npt.NDArray[np.float32] = (level + down[:, None] * falling) + right * turning
    return everywhere


def _largest(channels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Of three channels [3, ...] the largest value at each place; 10 times as fast as max(axis=...)."""
    largest: npt.NDArray[np.float32] = np.maximum(np.maximum(channels[0], channels[1]), channels[2])
    return largest


def _central(mask: Mask) -> Mask:
    """The piece with most in the middle, and those that have a fair part of as much there: shoes come in pairs."""
    labels = pieces(mask)
    height, width = mask.shape
    down, right = ((np.arange(size) / size - 0.5) / _MIDDLE for size in (height, width))
    weights = np.exp(-(down[:, None] ** 2 + right[None, :] ** 2) / 2)
    found = np.bincount(labels.ravel(), weights.ravel())
    found[0] = 0
    central: Mask = (labels > 0) & (found[labels] >= _FAIR_PART * found.max())
    return central


def _otsu(values: npt.NDArray[np.uint8]) -> int:
    """The threshold that parts the values into the two most distinct groups."""
    share = np.bincount(values.ravel(), minlength=256) / values.size
    below, mean = share.cumsum(), (share * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * below - mean) ** 2 / (below * (1 - below))
    return int(np.nan_to_num(between, posinf=0.0).argmax())
