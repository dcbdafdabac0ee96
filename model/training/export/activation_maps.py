"""The endpoint behind `explain`: class activation maps, for networks that end in global average pooling.

Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning Deep Features for Discriminative Localization" (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

Explain = Callable[[Any], dict[str, Any]]


def explain_endpoint(network: Any, labels: int) -> Explain | None:
    """From images [N, H, W, C] to `activations` [N, rows, columns, labels]; None when the head is another one.

    The mean of a label's map over rows and columns is its logit without the bias.
    """
    head, before = _made_by(network.outputs[0], layers.Activation, layers.Softmax)
    if not isinstance(head, layers.Dense) or head.units != labels:
        return None
    pooling, before = _made_by(before, layers.Dropout)
    if not isinstance(pooling, layers.GlobalAveragePooling2D) or pooling.data_format != "channels_last":
        return None
    features = keras.Model(network.inputs, before)
    # Cast: a network of mixed precision has features of half precision.
    return lambda images: {"activations": keras.ops.matmul(keras.ops.cast(features(images), "float32"), head.kernel)}


def _made_by(tensor: Any, *unheeded: type) -> tuple[Any, Any]:
    """The layer that made a tensor, and the tensor it was made of; layers of the `unheeded` kinds are passed over.

    Both are None where a layer has several inputs, or none.
    """
    layer, place, _ = tensor._keras_history
    inputs = layer._inbound_nodes[place].input_tensors
    if len(inputs) != 1:
        return None, None
    return _made_by(inputs[0], *unheeded) if isinstance(layer, unheeded) else (layer, inputs[0])
