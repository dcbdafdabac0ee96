"""ConvNeXt and ConvNeXt V2."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from model.training.importing.architectures.layers import convolution, dense, depthwise, layer_norm
from model.training.importing.architectures.weights import Weights
from model.training.importing.fields import Fields

# That of all normalizations but the last one.
_EPSILON = 1e-6


def convnext(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of ConvNextForImageClassification."""
    scaled = config.number("layer_scale_init_value", 1e-6, zero=True) > 0
    return _logits(config, weights, images, "convnext", is_second=False, scaled=scaled)


def convnext_v2(config: Fields, weights: Weights, images: Any) -> Any:
    """The logits of ConvNextV2ForImageClassification."""
    return _logits(config, weights, images, "convnextv2", is_second=True, scaled=False)


def _logits(config: Fields, weights: Weights, images: Any, root: str, *, is_second: bool, scaled: bool) -> Any:
    config.one_of("hidden_act", ("gelu",), "gelu")
    patch, depths = config.count("patch_size", 4), config.counts("depths", (3, 3, 9, 3))
    if config.count("num_stages", len(depths)) != len(depths):
        raise config.wrong("num_stages", f"{len(depths)}, the count of depths")
    x = convolution(weights, f"{root}.embeddings.patch_embeddings", images, patch, strides=patch)
    x = layer_norm(weights, f"{root}.embeddings.layernorm", x, _EPSILON)
    for stage, depth in enumerate(depths):
        name = f"{root}.encoder.stages.{stage}"
        if stage:
            x = layer_norm(weights, f"{name}.downsampling_layer.0", x, _EPSILON)
            x = convolution(weights, f"{name}.downsampling_layer.1", x, 2, strides=2)
        for layer in range(depth):
            x = _block(weights, f"{name}.layers.{layer}", x, is_second=is_second, scaled=scaled)
    x = layers.GlobalAveragePooling2D()(x)
    x = layer_norm(weights, f"{root}.layernorm", x, config.number("layer_norm_eps", 1e-12))
    return dense(weights, "classifier", x)


def _block(weights: Weights, name: str, x: Any, *, is_second: bool, scaled: bool) -> Any:
    made = depthwise(weights, f"{name}.dwconv", x, 7, padding=3)
    made = layer_norm(weights, f"{name}.layernorm", made, _EPSILON)
    made = dense(weights, f"{name}.pwconv1", made, activation="gelu")
    if is_second:
        made = _responses_normalized(weights, f"{name}.grn", made)
    made = dense(weights, f"{name}.pwconv2", made)
    if scaled:
        made = made * weights.take(f"{name}.layer_scale_parameter", x.shape[-1])
    return x + made


def _responses_normalized(weights: Weights, name: str, x: Any) -> Any:
    """Global response normalization: each channel by its length over the image, relative to the mean of them all."""
    lengths = ops.sqrt(ops.sum(x * x, (1, 2), keepdims=True))
    relative = lengths / (ops.mean(lengths, -1, keepdims=True) + 1e-6)
    scale, shift = (weights.take(f"{name}.{part}", 1, 1, 1, x.shape[-1]) for part in ("weight", "bias"))
    return x * relative * scale + shift + x
