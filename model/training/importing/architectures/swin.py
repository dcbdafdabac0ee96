"""Swin Transformer (the first version)."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from model.training.importing.architectures.layers import (
    attention,
    check_patches,
    convolution,
    dense,
    feed_forward,
    layer_norm,
    relative_places,
)
from model.training.importing.architectures.weights import Weights
from model.training.importing.fields import Fields

# That of PyTorch's layer normalization.
_EPSILON = 1e-5

# What is added to the score of two patches that are not next to each other in the image.
_APART = -100.0


def swin(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of SwinForImageClassification."""
    config.one_of("hidden_act", ("gelu",), "gelu")
    patch, window = config.count("patch_size", 4), config.count("window_size", 7)
    depths, heads = config.counts("depths", (2, 2, 6, 2)), config.counts("num_heads", (3, 6, 12, 24))
    if len(depths) != len(heads):
        raise config.wrong("num_heads", f"{len(depths)} numbers, as depths has")
    if config.count("num_layers", len(depths)) != len(depths):
        raise config.wrong("num_layers", f"{len(depths)}, the count of depths")
    for edge in images.shape[1:3]:
        config.check_divides("patch_size", patch, edge, "image_size")
    x = convolution(weights, "swin.embeddings.patch_embeddings.projection", images, patch, strides=patch)
    x = layer_norm(weights, "swin.embeddings.norm", x, _EPSILON)
    if config.truth("use_absolute_embeddings", False):
        height, width, channels = x.shape[1:]
        places = weights.take("swin.embeddings.position_embeddings", 1, height * width, channels)
        x = x + places.reshape(1, height, width, channels)
    for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
        config.check_divides("num_heads", count, x.shape[-1], f"the channels of stage {stage}")
        for edge in x.shape[1:3]:
            config.check_divides("window_size", window, edge, f"the patches along an edge in stage {stage}")
        check_patches(config, x.shape[1] * x.shape[2], count * x.shape[1] * x.shape[2] * window**2)
        for place in range(depth):
            shift = window // 2 if place % 2 else 0
            x = _block(config, weights, f"swin.encoder.layers.{stage}.blocks.{place}", x, window, shift, count)
        if stage < len(depths) - 1:
            x = _merged(config, weights, f"swin.encoder.layers.{stage}.downsample", x)
    x = layer_norm(weights, "swin.layernorm", x, config.number("layer_norm_eps", _EPSILON))
    return dense(weights, "classifier", layers.GlobalAveragePooling2D()(x))


def _block(config: Fields, weights: Weights, name: str, x: Any, window: int, shift: int, heads: int) -> Any:
    epsilon, bias = config.number("layer_norm_eps", _EPSILON), config.truth("qkv_bias", True)
    height, width = x.shape[1:3]
    if min(height, width) == window:
        shift = 0
    table = weights.take(f"{name}.attention.self.relative_position_bias_table", (2 * window - 1) ** 2, heads)
    added = table[relative_places(window)].transpose(2, 0, 1)[None] + _apart(height, width, window, shift)
    normal = layer_norm(weights, f"{name}.layernorm_before", x, epsilon)
    windows = _windows(_rolled(normal, shift), window)
    made = attention(
        weights, f"{name}.attention", windows, heads, inner="self", bias=(bias,) * 3, added=added.astype(np.float32)
    )
    x = x + _rolled(_joined(made, height, width, window), -shift)
    return x + feed_forward(weights, name, x, epsilon)


def _merged(config: Fields, weights: Weights, name: str, x: Any) -> Any:
    """Four neighbours as one, with twice the channels. As in transformers, the rows change first."""
    if any(edge % 2 for edge in x.shape[1:3]):
        raise config.wrong("image_size", f"a multiple of patch_size by 2 for each stage; one here has {x.shape[1:3]}")
    x = ops.concatenate([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], -1)
    return dense(weights, f"{name}.reduction", layer_norm(weights, f"{name}.norm", x, _EPSILON), bias=False)


def _rolled(x: Any, shift: int) -> Any:
    """The rows and columns moved by `shift` to the front; those in front go to the end."""
    if not shift:
        return x
    x = ops.concatenate([x[:, shift:], x[:, :shift]], 1)
    return ops.concatenate([x[:, :, shift:], x[:, :, :shift]], 2)


def _windows(x: Any, window: int) -> Any:
    """[N, height, width, channels] as [N, windows, window * window, channels]."""
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height // window, window, width // window, window * channels))(x)
    return layers.Reshape((-1, window * window, channels))(layers.Permute((1, 3, 2, 4))(x))


def _joined(x: Any, height: int, width: int, window: int) -> Any:
    """The reverse of `_windows`."""
    channels = x.shape[-1]
    x = layers.Reshape((height // window, width // window, window, window * channels))(x)
    return layers.Reshape((height, width, channels))(layers.Permute((1, 3, 2, 4))(x))


def _apart(height: int, width: int, window: int, shift: int) -> NDArray[np.float64]:
    """What is added for patches that only the shift put into one window, [windows, 1, window * window, the same]."""
    regions = [np.searchsorted([edge - window, edge - shift], np.arange(edge), "right") for edge in (height, width)]
    region = regions[0][:, None] * 3 + regions[1][None]
    region = region.reshape(height // window, window, width // window, window).transpose(0, 2, 1, 3)
    region = region.reshape(-1, 1, window * window)
    differ = region[:, :, :, None] != region[:, :, None, :]
    return np.where(differ, _APART, 0.0) if shift else np.zeros((1, 1, 1, 1))
