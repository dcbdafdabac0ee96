"""Foreground segmentation: finds the object in the middle of a plain background by its colour.

The threshold between background and object is Otsu's ("A Threshold Selection Method from Gray-Level Histograms", 1979).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from model.preprocessing.connected_components import Mask, connected_components, fill_holes

# Width of the border that is assumed to be background, as a share of the shorter edge.
_BORDER = 0.04

# Colour distance from the background, in steps of 255, at which a border pixel has half weight, for each fitting round.
_SPREADS = 20.0, 12.0, 12.0, 12.0

# Regularisation of the fit: keeps the background plane level where the border does not determine its slope, as in
# images one pixel wide.
_SLOPE_PENALTY = np.diag([0.0, 2.0, 2.0]).astype(np.float32)

# Weight of the middle: standard deviation of a Gaussian, as a share of the edge.
_MIDDLE = 0.25

# A further component belongs to the object when it has this share of the first one's weight.
_FAIR_PART = 0.5

# Least colour distance of an object from the background, in steps of 255: less is camera noise.
_LEAST_DISTANCE = 8

# Least brightness of the object, 0..255, which keeps it apart from the black background.
_DARKEST = 40


def isolate(image: Image.Image, level: float, gain: float) -> Image.Image:
    """A mode L image with a black background, and the object's inverted grey scaled by `gain` around `level` (0..255).

    An image without an object is all 0. Meant for small images: the caller resizes first.
    """
    mask = object_mask(image)
    if not mask.any():
        return Image.new("L", image.size)
    negated = 255 - np.asarray(image.convert("L"), dtype=np.float32)
    spread = level + gain * (negated - np.median(negated[mask]))
    return Image.fromarray(np.where(mask, np.clip(np.rint(spread), _DARKEST, 255), 0).astype(np.uint8))


def object_mask(image: Image.Image) -> Mask:
    """The pixels [height, width] of the object in the middle, whose colour differs from the background."""
    smooth = image.convert("RGB").filter(ImageFilter.GaussianBlur(1))
    pixels = np.asarray(smooth, dtype=np.float32)
    distance = _largest(np.abs(np.moveaxis(pixels, 2, 0) - _background(pixels))).clip(0, 255).astype(np.uint8)
    far = distance > max(_otsu(distance), _LEAST_DISTANCE)
    # A majority filter of 5x5 pixels: for two values the mean decides it, far faster than a median filter.
    tidy = Image.fromarray(far.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(2))
    return fill_holes(_central(np.asarray(tidy) > 127))


def _background(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The background colour at every pixel [3, height, width]: a plane per channel, fitted to the border.

    A plane rather than one colour, because light falls off across a floor. Objects may reach the border, so pixels far
    from the plane get little weight (Cauchy weights; Holland, Welsch, "Robust Regression Using Iteratively Reweighted
    Least-Squares", 1977).
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
        plane = np.linalg.solve(weighted @ places + _SLOPE_PENALTY, weighted @ colours)
    level, falling, turning = plane[:, :, None, None]  # channels first: NumPy's inner loop is a row, not three numbers
    everywhere: npt.NDArray[np.float32] = (level + down[:, None] * falling) + right * turning
    return everywhere


def _largest(channels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The largest value of three channels [3, ...] at each place; 10 times as fast as max(axis=...)."""
    largest: npt.NDArray[np.float32] = np.maximum(np.maximum(channels[0], channels[1]), channels[2])
    return largest


def _central(mask: Mask) -> Mask:
    """The component with most weight in the middle, and those with a fair part of it: shoes come in pairs."""
    labels = connected_components(mask)
    height, width = mask.shape
    down, right = ((np.arange(size) / size - 0.5) / _MIDDLE for size in (height, width))
    weights = np.exp(-(down[:, None] ** 2 + right[None, :] ** 2) / 2)
    found = np.bincount(labels.ravel(), weights.ravel())
    found[0] = 0
    central: Mask = (labels > 0) & (found[labels] >= _FAIR_PART * found.max())
    return central


def _otsu(values: npt.NDArray[np.uint8]) -> int:
    """Otsu's threshold: the one that best separates the values into two groups."""
    share = np.bincount(values.ravel(), minlength=256) / values.size
    below, mean = share.cumsum(), (share * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * below - mean) ** 2 / (below * (1 - below))
    return int(np.nan_to_num(between, posinf=0.0).argmax())
