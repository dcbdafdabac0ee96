"""MobileNetV2."""

from __future__ import annotations

from typing import Any

from keras import layers

from model.training.importing.architectures.layers import batch_norm, convolution, dense, depthwise
from model.training.importing.architectures.weights import Weights
from model.training.importing.fields import Fields

_STRIDES = 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1


def mobilenet_v2(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of MobileNetV2ForImageClassification."""
    network = _Network(config, weights)
    x = network.layer("conv_stem.first_conv", images, strides=2)
    if not config.truth("first_layer_is_expansion", True):
        x = network.layer("conv_stem.expand_1x1", x, size=1)
    x = network.reduced("conv_stem", x, 1)
    for number, strides in enumerate(_STRIDES):
        expanded = network.layer(f"layer.{number}.expand_1x1", x, size=1)
        made = network.reduced(f"layer.{number}", expanded, strides)
        x = x + made if strides == 1 and x.shape[-1] == made.shape[-1] else made
    x = network.layer("conv_1x1", x, size=1)
    return dense(weights, "classifier", layers.GlobalAveragePooling2D()(x))


class _Network:
    def __init__(self, config: Fields, weights: Weights) -> None:
        config.one_of("hidden_act", ("relu6",), "relu6")
        if config.count("output_stride", 32) != 32:
            raise config.wrong("output_stride", "32")
        self._weights, self._epsilon = weights, config.number("layer_norm_eps", 0.001)
        self._same = config.truth("tf_padding", True)

    def reduced(self, name: str, x: Any, strides: int) -> Any:
        """A convolution of each channel, and one of all channels without an activation."""
        x = self.layer(f"{name}.conv_3x3", x, strides=strides, is_depthwise=True)
        return self.layer(f"{name}.reduce_1x1", x, size=1, is_active=False)

    def layer(
        self, name: str, x: Any, *, size: int = 3, strides: int = 1, is_depthwise: bool = False, is_active: bool = True
    ) -> Any:
        """A convolution, its normalization, and the activation."""
        kind = depthwise if is_depthwise else convolution
        padding = "same" if self._same else size // 2
        name = f"mobilenet_v2.{name}"
        x = kind(self._weights, f"{name}.convolution", x, size, strides=strides, bias=False, padding=padding)
        x = batch_norm(self._weights, f"{name}.normalization", x, self._epsilon)
        return layers.ReLU(6.0)(x) if is_active else x
