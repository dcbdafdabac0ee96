"""Finding what stands on a plain background: by colour, in one piece, without holes. A step of preprocessing recipes.

The threshold between background and object is Otsu's ("A Threshold Selection Method from Gray-Level Histograms", 1979).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Mask = npt.NDArray[np.bool_]

_BORDER = 0.04
"""How wide the border is that is taken for background, as a share of the shorter edge."""

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
    """Which pixels [height, width] belong to the largest thing that is not the border's median colour."""
    smooth = image.convert("RGB").filter(ImageFilter.GaussianBlur(1))
    pixels = np.asarray(smooth, dtype=np.float32)
    width = max(1, round(_BORDER * min(pixels.shape[:2])))
    border = np.concatenate(
        [side.reshape(-1, 3) for side in (pixels[:width], pixels[-width:], pixels[:, :width], pixels[:, -width:])]
    )
    distance = np.abs(pixels - np.median(border, axis=0)).max(axis=2).astype(np.uint8)
    far = distance > max(_otsu(distance), _LEAST_DISTANCE)
    tidy = Image.fromarray(far.astype(np.uint8) * 255).filter(ImageFilter.MedianFilter(5))
    return _filled(_largest(np.asarray(tidy) > 127))


def pieces(mask: Mask) -> npt.NDArray[np.int32]:
    """Number the connected pieces (by edges, not corners) of a mask [H, W] from 1; 0 is outside."""
    labels = np.zeros(mask.shape, np.int32)
    parents = [0]

    def root(label: int) -> int:
        while parents[label] != label:
            parents[label] = label = parents[parents[label]]
        return label

    above: list[tuple[int, int, int]] = []
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]])))
        runs = []
        for start, end in edges.reshape(-1, 2).tolist():
            touching = [root(label) for first, last, label in above if first < end and start < last]
            label = min(touching, default=len(parents))
            if not touching:
                parents.append(label)
            for other in touching:
                parents[other] = label
            labels[row, start:end] = label
            runs.append((start, end, label))
        above = runs
    roots = np.array([root(label) for label in range(len(parents))], np.int32)
    numbered: npt.NDArray[np.int32] = roots[labels]
    return numbered


def _largest(mask: Mask) -> Mask:
    labels = pieces(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    found: Mask = labels == sizes.argmax() if sizes.any() else mask
    return found


def _filled(mask: Mask) -> Mask:
    """With its holes: what is outside but does not reach the border."""
    outside = np.pad(~mask, 1, constant_values=True)
    labels = pieces(outside)
    inside: Mask = labels[1:-1, 1:-1] != labels[0, 0]
    return inside


def _otsu(values: npt.NDArray[np.uint8]) -> int:
    """The threshold that parts the values into the two most distinct groups."""
    share = np.bincount(values.ravel(), minlength=256) / values.size
    below, mean = share.cumsum(), (share * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * below - mean) ** 2 / (below * (1 - below))
    return int(np.nan_to_num(between, posinf=0.0).argmax())
