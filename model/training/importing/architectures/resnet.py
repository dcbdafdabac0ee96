"""ResNet."""

from __future__ import annotations

from typing import Any

from keras import layers

from model.training.importing.architectures.layers import batch_norm, convolution, dense
from model.training.importing.architectures.weights import Weights
from model.training.importing.fields import Fields

# That of PyTorch's batch normalization.
_EPSILON = 1e-5


def resnet(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of ResNetForImageClassification."""
    config.one_of("hidden_act", ("relu",), "relu")
    is_deep = config.one_of("layer_type", ("bottleneck", "basic"), "bottleneck") == "bottleneck"
    early = config.truth("downsample_in_bottleneck", False)
    x = _layer(weights, "resnet.embedder.embedder", images, 7, strides=2)
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # nothing is below the zeros of the border
    for stage, depth in enumerate(config.counts("depths", (3, 4, 6, 3))):
        for place in range(depth):
            halves = place == 0 and (stage > 0 or config.truth("downsample_in_first_stage", False))
            name = f"resnet.encoder.stages.{stage}.layers.{place}"
            x = _block(weights, name, x, 2 if halves else 1, is_deep=is_deep, early=early)
    return dense(weights, "classifier.1", layers.GlobalAveragePooling2D()(x))


def _block(weights: Weights, name: str, x: Any, strides: int, *, is_deep: bool, early: bool) -> Any:
    if is_deep:
        made = _layer(weights, f"{name}.layer.0", x, 1, strides=strides if early else 1)
        made = _layer(weights, f"{name}.layer.1", made, 3, strides=1 if early else strides)
        made = _layer(weights, f"{name}.layer.2", made, 1, relu=False)
    else:
        made = _layer(weights, f"{name}.layer.0", x, 3, strides=strides)
        made = _layer(weights, f"{name}.layer.1", made, 3, relu=False)
    if strides != 1 or x.shape[-1] != made.shape[-1]:
        x = _layer(weights, f"{name}.shortcut", x, 1, strides=strides, relu=False)
    return layers.ReLU()(x + made)


def _layer(weights: Weights, name: str, x: Any, size: int, *, strides: int = 1, relu: bool = True) -> Any:
    x = convolution(weights, f"{name}.convolution", x, size, strides=strides, bias=False, padding=size // 2)
    x = batch_norm(weights, f"{name}.normalization", x, _EPSILON)
    return layers.ReLU()(x) if relu else x
