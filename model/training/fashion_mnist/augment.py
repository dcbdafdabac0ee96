"""Augments training images: shifts, mirror images, cutouts, and a share that is made to look like photographs.

NumPy on whole batches, which costs little compared with the network. Cutout: DeVries, Taylor, "Improved Regularization
of Convolutional Neural Networks with Cutout" (2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.training.fashion_mnist.photo_augmentation import as_photo


def augment(
    images: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    shift: int,
    flip: bool,
    cutout: int,
    photolike: float = 0.0,
) -> npt.NDArray[np.uint8]:
    """Augment each image [N, H, W]: shift it by up to `shift` pixels, mirror half of them, black out a square.

    First, the share `photolike` of them is made to look like photographs after the recipe.
    """
    count, height, width = images.shape
    if photolike:
        chosen = rng.random(count) < photolike
        images = images.copy()
        images[chosen] = as_photo(images[chosen], rng)
    moves = rng.integers(-shift, shift + 1, (2, count, 1))
    rows = np.arange(height) + moves[0] + shift
    columns = np.arange(width) + moves[1] + shift
    if flip:
        mirrored = rng.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift)))
    varied: npt.NDArray[np.uint8] = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    if cutout:
        tops, lefts = rng.integers(0, height, (count, 1)), rng.integers(0, width, (count, 1))
        half = cutout // 2
        in_rows = (np.arange(height) >= tops - half) & (np.arange(height) < tops - half + cutout)
        in_columns = (np.arange(width) >= lefts - half) & (np.arange(width) < lefts - half + cutout)
        varied[in_rows[:, :, None] & in_columns[:, None, :]] = 0
    return varied
