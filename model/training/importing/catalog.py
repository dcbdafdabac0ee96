"""The catalog of Keras Applications' architectures, each with its input size and its pixel scaling."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from model.text import reason
from model.training.errors import SourceError
from model.training.importing.weights import load_backbone, load_whole

NO_WEIGHTS = "none"
IMAGENET = "imagenet"

# Pixel scaling (a key of recipe.PIXELS) by Keras' module.
_PIXELS = {
    "convnext": "raw",
    "densenet": "torch",
    "efficientnet": "raw",
    "efficientnet_v2": "raw",
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "mobilenet_v3": "raw",
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}

_SIZES = {
    **dict.fromkeys(("InceptionResNetV2", "InceptionV3", "Xception"), 299),
    "NASNetLarge": 331,
    **{f"EfficientNetB{n}": size for n, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    **{f"EfficientNetV2B{n}": size for n, size in enumerate((224, 240, 260, 300))},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
}
# Pixels of each edge, where _SIZES has no entry.
_USUAL_SIZE = 224


@dataclass(frozen=True, slots=True)
class Architecture:
    """An entry of the catalog. `size`: pixels of each edge; `pixels`: a key of recipe.PIXELS."""

    name: str
    size: int
    pixels: str
    make: Callable[..., Any]

    def has_alpha(self) -> bool:
        """Whether it has several widths."""
        return "alpha" in inspect.signature(self.make).parameters


def catalog() -> dict[str, Architecture]:
    """All architectures of the installed Keras, by name."""
    makers = inspect.getmembers(keras.applications, inspect.isfunction)
    return {
        name: Architecture(name, _SIZES.get(name, _USUAL_SIZE), _PIXELS[make.__module__.rpartition(".")[2]], make)
        for name, make in makers
    }


def find(name: str) -> Architecture:
    """The architecture of this name, in upper or lower case. Raises SourceError."""
    for known, architecture in catalog().items():
        if known.lower() == name.lower():
            return architecture
    raise SourceError(f"the architecture is {name!r}; `python -m model catalog` lists the known ones")


def build(
    architecture: Architecture, weights: str = IMAGENET, *, size: int = 0, alpha: float = 1.0, top: bool = True
) -> Any:
    """A keras.Model for images float32 [N, size, size, 3]. With `top` it gives ImageNet's classes, else features.

    `weights`: `imagenet` (Keras downloads them), `none`, or a file. Raises SourceError when they cannot be loaded or do
    not fit, or when the architecture does not support the size or width.
    """
    edge = size or architecture.size
    options: dict[str, Any] = {"input_shape": (edge, edge, 3), "include_top": top}
    if alpha != 1.0:
        if not architecture.has_alpha():
            raise SourceError(f"alpha is {alpha:g}; {architecture.name} has one width, 1")
        options["alpha"] = alpha
    if not top:
        options["pooling"] = "avg"

    def make(**changes: Any) -> Any:
        keras.backend.clear_session()  # layer names have counters, and weights are found by name
        with redirect_stdout(sys.stderr):  # Keras' progress bar
            return architecture.make(**options | changes)

    try:
        if weights in (IMAGENET, NO_WEIGHTS):
            return make(weights=IMAGENET if weights == IMAGENET else None)
        network = make(weights=None)
        if top:
            load_whole(network, Path(weights))
        else:
            load_backbone(network, Path(weights), lambda: make(weights=None, include_top=True, pooling=None))
    except SourceError:
        raise
    except Exception as exc:
        # Keras raises ValueError for an unsupported size or width, and a bare Exception for a failed download.
        raise SourceError(
            f"{architecture.name} (weights {weights}, {edge}x{edge}, alpha {alpha:g}) cannot be built: {reason(exc)}; "
            "weights may also be a file (.npz, .h5, .weights.h5, .keras) or none"
        ) from exc
    return network
