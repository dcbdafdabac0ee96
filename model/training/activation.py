"""The endpoint behind `explain`: class activation maps, for networks that end in global average pooling.

Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning Deep Features for Discriminative Localization" (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers


def explain_endpoint(network: Any) -> Callable[[Any], dict[str, Any]] | None:
    """From images [N, H, W, C] to `activations` [N, rows, columns, labels]; None when the head is another one.

    The mean of a label's map over rows and columns is its logit without the bias.
    """
    head = network.layers[-1]
    if not isinstance(head, layers.Dense):
        return None
    pooling = _source(head)
    while isinstance(pooling, layers.Dropout):
        pooling = _source(pooling)
    if not isinstance(pooling, layers.GlobalAveragePooling2D) or pooling.data_format != "channels_last":
        return None
    features = keras.Model(network.input, pooling.input)
    return lambda images: {"activations": keras.ops.matmul(features(images), head.kernel)}


def _source(layer: Any) -> Any:
    """The layer that made this one's only input."""
    return layer.input._keras_history.operation
