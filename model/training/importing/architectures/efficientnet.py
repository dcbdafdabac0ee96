"""EfficientNet (the first version)."""

from __future__ import annotations

import math
from typing import Any

from keras import layers, ops

from model.training.importing.architectures.layers import Padding, batch_norm, convolution, dense, depthwise
from model.training.importing.architectures.weights import Weights
from model.training.importing.fields import Fields

# Of each stage of B0: its blocks, the edge of their kernels, the strides of the first one, and the factor by which they
# widen.
_REPEATS, _KERNELS = (1, 2, 2, 3, 3, 4, 1), (3, 3, 5, 3, 5, 5, 3)
_STRIDES, _RATIOS = (1, 2, 2, 2, 1, 2, 1), (1, 6, 6, 6, 6, 6, 6)


def efficientnet(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of EfficientNetForImageClassification."""
    return _Network(config, weights).logits(images)


class _Network:
    def __init__(self, config: Fields, weights: Weights) -> None:
        config.one_of("hidden_act", ("swish", "silu"), "swish")
        config.one_of("pooling_type", ("mean",), "mean")
        self._config, self._weights, self._epsilon = config, weights, config.number("batch_norm_eps", 0.001)

    def logits(self, images: Any) -> Any:
        x = self._layer("embeddings.convolution", "embeddings.batchnorm", images, 3, 2, ((0, 1), (0, 1)))
        for number, (kernel, strides, ratio, is_first) in enumerate(self._blocks()):
            x = self._block(number, x, kernel, strides, is_wide=ratio > 1, is_first=is_first)
        x = self._layer("encoder.top_conv", "encoder.top_bn", x)
        return dense(self._weights, "classifier", layers.GlobalAveragePooling2D()(x))

    def _blocks(self) -> list[tuple[int, int, int, bool]]:
        """The edge of the kernel, the strides and the factor of each block, and whether it begins a stage."""
        config = self._config
        repeats = config.counts("num_block_repeats", _REPEATS)
        parts = [
            config.counts(name, usual)
            for name, usual in (("kernel_sizes", _KERNELS), ("strides", _STRIDES), ("expand_ratios", _RATIOS))
        ]
        for name, part in zip(("kernel_sizes", "strides", "expand_ratios"), parts, strict=True):
            if len(part) != len(repeats):
                raise config.wrong(name, f"{len(repeats)} numbers, as num_block_repeats has")
        if any(kernel < 3 or kernel % 2 == 0 for kernel in parts[0]):
            raise config.wrong("kernel_sizes", "a list of odd numbers from 3 up")
        if config.count("num_hidden_layers", 4 * sum(repeats)) != 4 * sum(repeats):
            raise config.wrong("num_hidden_layers", f"{4 * sum(repeats)}, four for each of num_block_repeats")
        deep = config.number("depth_coefficient", 3.1)
        return [
            (kernel, strides if place == 0 else 1, ratio, place == 0)
            for count, kernel, strides, ratio in zip(repeats, *parts, strict=True)
            for place in range(math.ceil(deep * count))
        ]

    def _block(self, number: int, x: Any, kernel: int, strides: int, *, is_wide: bool, is_first: bool) -> Any:
        name, half = f"encoder.blocks.{number}", kernel // 2
        made = self._layer(f"{name}.expansion.expand_conv", f"{name}.expansion.expand_bn", x) if is_wide else x
        is_even = number in self._config.counts("depthwise_padding", (), zero=True)
        padding: Padding = half if strides == 1 or is_even else ((half - 1, half), (half - 1, half))
        part = f"{name}.depthwise_conv.depthwise"
        made = self._layer(f"{part}_conv", f"{part}_norm", made, kernel, strides, padding, is_depthwise=True)
        made = made * self._weight_of_channels(f"{name}.squeeze_excite", made)
        part = f"{name}.projection.project"
        made = self._layer(f"{part}_conv", f"{part}_bn", made, is_active=False)
        return made if is_first else x + made

    def _weight_of_channels(self, name: str, x: Any) -> Any:
        x = ops.mean(x, (1, 2), keepdims=True)
        name = f"efficientnet.{name}"
        x = layers.Activation("silu")(convolution(self._weights, f"{name}.reduce", x, 1))
        return layers.Activation("sigmoid")(convolution(self._weights, f"{name}.expand", x, 1))

    def _layer(
        self,
        name: str,
        norm: str,
        x: Any,
        size: int = 1,
        strides: int = 1,
        padding: Padding = 0,
        *,
        is_depthwise: bool = False,
        is_active: bool = True,
    ) -> Any:
        """A convolution, its normalization, and the activation."""
        kind = depthwise if is_depthwise else convolution
        x = kind(self._weights, f"efficientnet.{name}", x, size, strides=strides, bias=False, padding=padding)
        x = batch_norm(self._weights, f"efficientnet.{norm}", x, self._epsilon)
        return layers.Activation("silu")(x) if is_active else x
