"""The `explain` endpoint of a SavedModel: class activation maps, for networks with global average pooling.

Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning Deep Features for Discriminative Localization" (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

Explain = Callable[[Any], dict[str, Any]]


def explain_endpoint(network: Any, labels: int) -> Explain | None:
    """A function from images [N, H, W, C] to `activations` [N, rows, columns, labels]; None for another kind of head.

    The mean of a label's map over rows and columns is the label's logit without its bias.
    """
    head, before = _made_by(network.outputs[0], layers.Activation, layers.Softmax)
    if not isinstance(head, layers.Dense) or head.units != labels:
        return None
    pooling, before = _made_by(before, layers.Dropout)
    if not isinstance(pooling, layers.GlobalAveragePooling2D) or pooling.data_format != "channels_last":
        return None
    features = keras.Model(network.inputs, before)

    def explain(images: Any) -> dict[str, Any]:
        # Cast to float32, because the features of a mixed-precision network have half precision.
        found = keras.ops.cast(features(images, training=False), "float32")
        return {"activations": keras.ops.matmul(found, head.kernel)}

    return explain


def _made_by(tensor: Any, *ignored: type) -> tuple[Any, Any]:
    """The layer that computed a tensor, and that layer's input. Layers of the `ignored` types are skipped.

    Both are None when a layer has no input or several.
    """
    layer, place, _ = tensor._keras_history
    inputs = layer._inbound_nodes[place].input_tensors
    if len(inputs) != 1:
        return None, None
    return _made_by(inputs[0], *ignored) if isinstance(layer, ignored) else (layer, inputs[0])
