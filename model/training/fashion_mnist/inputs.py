"""Converts dataset images to the network's input with the served recipe, so that training and serving cannot differ."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.engines.base import Images, Signature
from model.preprocessing.recipe import run_recipe
from model.training.data.idx import FASHION_MNIST_LABELS
from model.training.fashion_mnist.config import RECIPES

# Edge of the dataset's images, in pixels.
SIZE = 28


def signature_of(recipe: str) -> Signature:
    """The signature of a network for 28x28 grey images that is served with the recipe of this name."""
    steps = json.loads((RECIPES / f"{recipe}.json").read_text("utf-8"))
    return Signature(SIZE, SIZE, 1, "float32", FASHION_MNIST_LABELS, steps)


def as_inputs(images: npt.NDArray[np.uint8], signature: Signature) -> Images:
    """Dataset images, uint8 [N, height, width], through the recipe: the signature's dtype, [N, height, width, 1]."""
    return np.concatenate([run_recipe(Image.fromarray(image), signature) for image in images])
