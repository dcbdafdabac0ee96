"""Layers of PyTorch as layers of Keras, with their weights. Images are [N, height, width, channels]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from model.training.importing.architectures.weights import Weights


def dense(weights: Weights, name: str, x: Any, *, bias: bool = True, activation: str | None = None) -> Any:
    """A linear layer on the last dimension; its kernel is stored as [outputs, inputs]."""
    kernel = weights.take(f"{name}.weight", None, x.shape[-1])
    layer = layers.Dense(len(kernel), activation=activation, use_bias=bias)
    made = layer(x)
    layer.set_weights([kernel.T, *([weights.take(f"{name}.bias", len(kernel))] if bias else [])])
    return made


def convolution(
    weights: Weights, name: str, x: Any, size: int, *, strides: int = 1, bias: bool = True, padding: int | str = 0
) -> Any:
    """A convolution; its kernel is stored as [outputs, inputs, height, width]. `padding`: zeros at each edge, or `same`
    as TensorFlow counts them."""
    kernel = weights.take(f"{name}.weight", None, x.shape[-1], size, size)
    layer = layers.Conv2D(len(kernel), size, strides, _keras_padding(padding), use_bias=bias)
    made = layer(_padded(x, padding))
    layer.set_weights([kernel.transpose(2, 3, 1, 0), *([weights.take(f"{name}.bias", len(kernel))] if bias else [])])
    return made


def depthwise(
    weights: Weights, name: str, x: Any, size: int, *, strides: int = 1, bias: bool = True, padding: int | str = 0
) -> Any:
    """A convolution of each channel; its kernel is stored as [channels, 1, height, width]."""
    channels = x.shape[-1]
    kernel = weights.take(f"{name}.weight", channels, 1, size, size)
    layer = layers.DepthwiseConv2D(size, strides, _keras_padding(padding), use_bias=bias)
    made = layer(_padded(x, padding))
    layer.set_weights([kernel.transpose(2, 3, 0, 1), *([weights.take(f"{name}.bias", channels)] if bias else [])])
    return made


def batch_norm(weights: Weights, name: str, x: Any, epsilon: float) -> Any:
    """A normalization with the mean and the variance of training."""
    layer = layers.BatchNormalization(epsilon=epsilon)
    made = layer(x)
    parts = "weight", "bias", "running_mean", "running_var"
    layer.set_weights([weights.take(f"{name}.{part}", x.shape[-1]) for part in parts])
    return made


def layer_norm(weights: Weights, name: str, x: Any, epsilon: float) -> Any:
    """A normalization over the last dimension."""
    layer = layers.LayerNormalization(epsilon=epsilon)
    made = layer(x)
    layer.set_weights([weights.take(f"{name}.{part}", x.shape[-1]) for part in ("weight", "bias")])
    return made


def attention(
    weights: Weights, names: Sequence[str], x: Any, heads: int, *, bias: bool = True, added: Any = None
) -> Any:
    """Self-attention over the last dimension but one, [..., tokens, channels].

    `names`: those of the layers of queries, keys, values and the result. `bias`: whether the first three have one.
    `added`: an array that is added to the scores, [..., heads, tokens, tokens].
    """
    tokens, channels = x.shape[-2:]
    split = layers.Reshape((*x.shape[1:-1], heads, channels // heads))
    queries, keys, values = (ops.swapaxes(split(dense(weights, name, x, bias=bias)), -3, -2) for name in names[:3])
    scores = ops.matmul(queries * (channels // heads) ** -0.5, ops.swapaxes(keys, -2, -1))
    if added is not None:
        scores = scores + added
    mixed = ops.swapaxes(ops.matmul(keras.activations.softmax(scores), values), -3, -2)
    return dense(weights, names[3], layers.Reshape((*x.shape[1:-2], tokens, channels))(mixed))


def _padded(x: Any, padding: int | str) -> Any:
    return layers.ZeroPadding2D(padding)(x) if isinstance(padding, int) and padding else x


def _keras_padding(padding: int | str) -> str:
    return padding if isinstance(padding, str) else "valid"
