"""Photographs of clothes for training: 700 crops of 28x28 pixels in photos/, as the recipe makes them (CC0).

The dataset of their origin has other classes than Fashion-MNIST: for a long-sleeved garment several labels are right.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.training.data.idx import FASHION_MNIST_LABELS, read_idx

FOLDER = Path(__file__).parent / "photos"

# The photos' classes, by their number in the file, and the dataset's labels that are right for each.
RIGHT = {
    "t-shirt": {"T-shirt/top"},
    "pants": {"Trouser"},
    "dress": {"Dress"},
    "outwear": {"Coat"},
    "shirt": {"Shirt"},
    "longsleeve": {"T-shirt/top", "Pullover", "Shirt"},
    "shoes": {"Sandal", "Sneaker", "Ankle boot"},
}


@dataclass(frozen=True, slots=True)
class Photos:
    """Images uint8 [N, 28, 28], and which of the dataset's labels are right for each: bool [N, labels]."""

    images: npt.NDArray[np.uint8]
    right: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)


def load_photos() -> Photos:
    """Read the crops in photos/."""
    images = read_idx(gzip.decompress((FOLDER / "images-idx3-ubyte.gz").read_bytes()))
    classes = read_idx(gzip.decompress((FOLDER / "classes-idx1-ubyte.gz").read_bytes()))
    table = np.array([[label in right for label in FASHION_MNIST_LABELS] for right in RIGHT.values()])
    return Photos(images, table[classes])
