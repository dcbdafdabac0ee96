"""Builds the network of a Hugging Face repository that holds its weights as .safetensors, and no .onnx file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from model.preprocessing.signature_schema import MAX_EDGE
from model.text import reason
from model.training.errors import SourceError
from model.training.importing.architectures.convnext import convnext, convnext_v2
from model.training.importing.architectures.mobilenet_v2 import mobilenet_v2
from model.training.importing.architectures.resnet import resnet
from model.training.importing.architectures.swin import swin
from model.training.importing.architectures.vision_transformer import deit, deit_with_teacher, vit
from model.training.importing.architectures.weights import Weights, open_weights
from model.training.importing.fields import Fields

BUILDERS: Mapping[str, Callable[[Fields, Weights, Any], Any]] = {
    "ViTForImageClassification": vit,
    "DeiTForImageClassification": deit,
    "DeiTForImageClassificationWithTeacher": deit_with_teacher,
    "SwinForImageClassification": swin,
    "ConvNextForImageClassification": convnext,
    "ConvNextV2ForImageClassification": convnext_v2,
    "ResNetForImageClassification": resnet,
    "MobileNetV2ForImageClassification": mobilenet_v2,
}
"""By the architecture that config.json names: what makes the logits of a batch of images."""

# Networks whose weights are for images of one size, which config.json says.
_FIXED = vit, deit, deit_with_teacher, swin
_USUAL_SIZE = 224


def built_architecture(config: Fields) -> str | None:
    """The architecture that a config.json names, if it can be built."""
    names = config.values.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    return name if isinstance(name, str) and name in BUILDERS else None


def build(folder: Path, config: Fields, size: tuple[int, int] | None) -> keras.Model:
    """The network of a folder with its weights; it gives logits. Its architecture must be one that can be built.

    `size`: height and width of the images, for networks that take images of any size. Raises SourceError.
    """
    builder = BUILDERS[built_architecture(config) or ""]
    if builder in _FIXED:
        size = _fixed_size(config)
    if size is None:
        raise SourceError(f"{folder} takes images of any size; choose one with --size")
    images = keras.Input((*size, config.count("num_channels", 3)), name="images")
    with open_weights(folder) as weights:
        try:
            logits = builder(config, weights, images)
        except (ValueError, TypeError, ZeroDivisionError) as exc:  # Keras' own: an edge that is too short, for instance
            raise SourceError(f"{config.where} does not describe a network that can be built: {reason(exc)}") from exc
        weights.check_all_taken()
    return keras.Model(images, logits)


def _fixed_size(config: Fields) -> tuple[int, int]:
    found = config.values.get("image_size", _USUAL_SIZE)
    edges = tuple(found) if isinstance(found, list) else (found, found)
    if len(edges) != 2 or not all(type(edge) is int and 1 <= edge <= MAX_EDGE for edge in edges):
        raise config.wrong("image_size", f"a whole number from 1 to {MAX_EDGE:,}, or two for height and width")
    return edges[0], edges[1]
