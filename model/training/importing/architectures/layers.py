"""Layers of PyTorch as layers of Keras, with their weights. Images are [N, height, width, channels].

The arrays decide how wide a layer is: config.json says it too, and that is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from model.training.importing.architectures.weights import Weights
from model.training.importing.fields import Fields

Padding = int | str | tuple[tuple[int, int], tuple[int, int]]
"""Zeros at each edge, `same` as TensorFlow counts them, or those above and below, and left and right."""

# Values of one layer's attention for an image: a ViT with 16 heads and 1,400 patches has 31 million.
_MOST_SCORES = 1 << 25
_MOST_PATCHES = 1 << 16


def check_patches(config: Fields, patches: int, scores: int) -> None:
    """Raise SourceError for an image of more patches, or with more scores of attention, than memory is meant for."""
    if patches > _MOST_PATCHES or scores > _MOST_SCORES:
        raise config.wrong(
            "image_size",
            f"smaller: an image would have {patches:,} patches, at most {_MOST_PATCHES:,} are allowed, and {scores:,} "
            f"scores of attention in a layer, at most {_MOST_SCORES:,}",
        )


def dense(
    weights: Weights,
    name: str,
    x: Any,
    *,
    outputs: int | None = None,
    bias: bool = True,
    activation: str | None = None,
) -> Any:
    """A linear layer on the last dimension; its kernel is stored as [outputs, inputs]. `outputs` None is any number."""
    kernel = weights.take(f"{name}.weight", outputs, x.shape[-1])
    layer = layers.Dense(len(kernel), activation=activation, use_bias=bias)
    made = layer(x)
    layer.set_weights([kernel.T, *([weights.take(f"{name}.bias", len(kernel))] if bias else [])])
    return made


def convolution(
    weights: Weights, name: str, x: Any, size: int, *, strides: int = 1, bias: bool = True, padding: Padding = 0
) -> Any:
    """A convolution; its kernel is stored as [outputs, inputs, height, width]."""
    kernel = weights.take(f"{name}.weight", None, x.shape[-1], size, size)
    layer = layers.Conv2D(len(kernel), size, strides, _keras_padding(padding), use_bias=bias)
    made = layer(_padded(x, padding))
    layer.set_weights([kernel.transpose(2, 3, 1, 0), *([weights.take(f"{name}.bias", len(kernel))] if bias else [])])
    return made


def depthwise(
    weights: Weights, name: str, x: Any, size: int, *, strides: int = 1, bias: bool = True, padding: Padding = 0
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
    weights: Weights,
    name: str,
    x: Any,
    heads: int,
    *,
    inner: str = "attention",
    bias: Sequence[bool] = (True, True, True),
    added: Any = None,
) -> Any:
    """Self-attention over the last dimension but one, [..., tokens, channels].

    `inner`: the part of the name with the layers of queries, keys and values. `bias`: which of these have one. `added`:
    an array that is added to the scores, [..., heads, tokens, tokens].
    """
    tokens, channels = x.shape[-2:]
    split = layers.Reshape((*x.shape[1:-1], heads, channels // heads))
    queries, keys, values = (
        ops.swapaxes(split(dense(weights, f"{name}.{inner}.{part}", x, outputs=channels, bias=has)), -3, -2)
        for part, has in zip(("query", "key", "value"), bias, strict=True)
    )
    scores = ops.matmul(queries * (channels // heads) ** -0.5, ops.swapaxes(keys, -2, -1))
    if added is not None:
        scores = scores + added
    mixed = ops.swapaxes(ops.matmul(keras.activations.softmax(scores), values), -3, -2)
    return dense(weights, f"{name}.output.dense", layers.Reshape((*x.shape[1:-2], tokens, channels))(mixed))


def feed_forward(weights: Weights, name: str, x: Any, epsilon: float) -> Any:
    """What a block of a transformer makes of each token by itself, after its attention."""
    normal = layer_norm(weights, f"{name}.layernorm_after", x, epsilon)
    inner = dense(weights, f"{name}.intermediate.dense", normal, activation="gelu")
    return dense(weights, f"{name}.output.dense", inner)


def relative_places(edge: int) -> NDArray[np.intp]:
    """The row of a table of relative positions for each two of edge * edge patches, [patches, patches]."""
    rows, columns = np.divmod(np.arange(edge * edge), edge)
    down, right = (each[:, None] - each[None] + edge - 1 for each in (rows, columns))
    places: NDArray[np.intp] = down * (2 * edge - 1) + right
    return places


def _padded(x: Any, padding: Padding) -> Any:
    return layers.ZeroPadding2D(padding)(x) if padding and not isinstance(padding, str) else x


def _keras_padding(padding: Padding) -> str:
    return padding if isinstance(padding, str) else "valid"
