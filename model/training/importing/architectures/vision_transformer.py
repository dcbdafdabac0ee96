"""ViT and DeiT."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from model.training.importing.architectures.layers import (
    attention,
    check_patches,
    convolution,
    dense,
    feed_forward,
    layer_norm,
)
from model.training.importing.architectures.weights import Weights
from model.training.importing.fields import Fields


def vit(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of ViTForImageClassification: a token for the class, then the patches."""
    return dense(weights, "classifier", _tokens(config, weights, images, "vit", ("cls_token",))[:, 0])


def deit(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of DeiTForImageClassification: a token for the class, one for a teacher, then the patches."""
    tokens = _tokens(config, weights, images, "deit", ("cls_token", "distillation_token"))
    return dense(weights, "classifier", tokens[:, 0])


def deit_with_teacher(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of DeiTForImageClassificationWithTeacher: the mean of those of the two tokens."""
    tokens = _tokens(config, weights, images, "deit", ("cls_token", "distillation_token"))
    own = dense(weights, "cls_classifier", tokens[:, 0])
    return (own + dense(weights, "distillation_classifier", tokens[:, 1], outputs=own.shape[-1])) / 2.0


def _tokens(config: Fields, weights: Weights, images: Any, root: str, first: tuple[str, ...]) -> Any:
    """The tokens after the last block, [N, tokens, channels]: the first ones, and those of the patches."""
    config.one_of("hidden_act", ("gelu",), "gelu")
    epsilon, bias = config.number("layer_norm_eps", 1e-12), config.truth("qkv_bias", True)
    patch, heads = config.count("patch_size", 16), config.count("num_attention_heads", 12)
    embeddings = f"{root}.embeddings"
    x = convolution(weights, f"{embeddings}.patch_embeddings.projection", images, patch, strides=patch)
    count, channels = x.shape[1] * x.shape[2], x.shape[3]
    config.check_divides("num_attention_heads", heads, channels, "the channels of its arrays")
    check_patches(config, count, heads * (count + len(first)) ** 2)
    x = layers.Reshape((count, channels))(x)
    begun = weights.take(f"{embeddings}.position_embeddings", 1, count + len(first), channels)
    for place, name in enumerate(first):
        begun[:, place] += weights.take(f"{embeddings}.{name}", 1, 1, channels)[:, 0]
    x = ops.pad(x, ((0, 0), (len(first), 0), (0, 0))) + begun
    for number in range(config.count("num_hidden_layers", 12)):
        x = _block(weights, f"{root}.encoder.layer.{number}", x, heads, epsilon, bias=bias)
    return layer_norm(weights, f"{root}.layernorm", x, epsilon)


def _block(weights: Weights, name: str, x: Any, heads: int, epsilon: float, *, bias: bool) -> Any:
    normal = layer_norm(weights, f"{name}.layernorm_before", x, epsilon)
    x = x + attention(weights, f"{name}.attention", normal, heads, bias=(bias,) * 3)
    return x + feed_forward(weights, name, x, epsilon)
