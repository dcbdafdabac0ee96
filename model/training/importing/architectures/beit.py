"""BEiT."""

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

# Rows of a table of relative positions behind those of two patches: for the class and a patch, a patch and the class,
# and the class and itself.
_MORE_ROWS = 3

# Of queries, keys and values, the keys have no bias.
_BIAS = True, False, True


def beit(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of BeitForImageClassification: a token for the class, then the patches."""
    config.one_of("hidden_act", ("gelu",), "gelu")
    epsilon, patch = config.number("layer_norm_eps", 1e-12), config.count("patch_size", 16)
    heads, scale = config.count("num_attention_heads", 12), config.number("layer_scale_init_value", 0.1, zero=True)
    x = convolution(weights, "beit.embeddings.patch_embeddings.projection", images, patch, strides=patch)
    edge, channels = x.shape[1], x.shape[3]
    if x.shape[2] != edge:
        raise config.wrong("image_size", "the same for height and width")
    config.check_divides("num_attention_heads", heads, channels, "the channels of its arrays")
    check_patches(config, edge**2, heads * (edge**2 + 1) ** 2)
    begun = np.zeros((1, edge**2 + 1, channels), np.float32)
    if config.truth("use_absolute_position_embeddings", False):
        begun += weights.take("beit.embeddings.position_embeddings", *begun.shape)
    begun[:, 0] += weights.take("beit.embeddings.cls_token", 1, 1, channels)[:, 0]
    x = ops.pad(layers.Reshape((edge**2, channels))(x), ((0, 0), (1, 0), (0, 0))) + begun
    shared: Any = None
    if config.truth("use_shared_relative_position_bias", False):
        shared = _scores(weights, "beit.encoder.relative_position_bias", edge, heads)
    for number in range(config.count("num_hidden_layers", 12)):
        name = f"beit.encoder.layer.{number}"
        added = shared
        if config.truth("use_relative_position_bias", False):
            own = _scores(weights, f"{name}.attention.attention.relative_position_bias", edge, heads)
            added = own if shared is None else own + shared
        x = _block(weights, name, x, heads, epsilon, added, is_scaled=scale > 0)
    if config.truth("use_mean_pooling", True):
        x = layer_norm(weights, "beit.pooler.layernorm", ops.mean(x[:, 1:], 1), epsilon)
    else:
        x = layer_norm(weights, "beit.layernorm", x, epsilon)[:, 0]
    return dense(weights, "classifier", x)


def _block(weights: Weights, name: str, x: Any, heads: int, epsilon: float, added: Any, *, is_scaled: bool) -> Any:
    def scaled(made: Any, part: str) -> Any:
        return made * weights.take(f"{name}.{part}", x.shape[-1]) if is_scaled else made

    normal = layer_norm(weights, f"{name}.layernorm_before", x, epsilon)
    x = x + scaled(attention(weights, f"{name}.attention", normal, heads, bias=_BIAS, added=added), "lambda_1")
    return x + scaled(feed_forward(weights, name, x, epsilon), "lambda_2")


def _scores(weights: Weights, name: str, edge: int, heads: int) -> NDArray[np.float32]:
    """What is added to the scores of attention, [1, heads, tokens, tokens]."""
    pairs = (2 * edge - 1) ** 2
    table = weights.take(f"{name}.relative_position_bias_table", pairs + _MORE_ROWS, heads)
    rows = np.full((edge**2 + 1, edge**2 + 1), pairs + 1)
    rows[0] = pairs
    rows[0, 0] = pairs + 2
    rows[1:, 1:] = relative_places(edge)
    added: NDArray[np.float32] = table[rows].transpose(2, 0, 1)[None]
    return added
