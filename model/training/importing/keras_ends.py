"""What a Keras network does at its two ends: how it scales pixels, and which activation its outputs have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from model.engines.base import LOGITS, MULTILABEL_LOGITS
from model.training.export.source import Ends, ends_with

# Layers that scale pixels, and operations of a functional network that do, with a number or an array.
_SCALING = layers.Rescaling, layers.Normalization
_ARITHMETIC = "Add", "Subtract", "Multiply", "Divide", "TrueDivide"

# Layers and operations that only reorder or copy a network's outputs.
_PASSING = "Dropout", "Flatten", "Reshape", "Identity", "Squeeze", "Cast"

# The dimensions of an image with its channels first, without the batch, in the order that puts them last.
_TO_LAST = 2, 3, 1

# The meaning of the outputs for losses that are compiled with from_logits=True.
_LOSSES = {
    **dict.fromkeys(("categorical_crossentropy", "sparse_categorical_crossentropy"), LOGITS),
    "categorical_focal_crossentropy": LOGITS,
    **dict.fromkeys(("binary_crossentropy", "binary_focal_crossentropy"), MULTILABEL_LOGITS),
}


def ends_of(network: Any, loss: str = "") -> Ends:
    """The ends of a built network. `loss`: what its loss says about its outputs (see `loss_meaning`)."""
    return ends_with(_activation(network), loss, _scaled(network))


def takes_channels_first(network: Any) -> bool:
    """Whether the first operation that depends on the order of an image's dimensions takes its channels first."""
    for operation in _operations(network):
        if isinstance(operation, layers.Permute):
            return tuple(operation.dims) == _TO_LAST
        if order := getattr(operation, "data_format", None):
            return bool(order == "channels_first")
    return False


def loss_meaning(compiled: Any) -> str:
    """The meaning of the outputs by the loss of a compile configuration, an untrusted value; empty when it has none."""
    loss = compiled.get("loss") if isinstance(compiled, Mapping) else None
    while isinstance(loss, list | Mapping) and len(loss) == 1:  # one loss for the one output
        (loss,) = loss.values() if isinstance(loss, Mapping) else loss
    if not isinstance(loss, Mapping) or not isinstance(loss.get("config"), Mapping):
        return ""
    name = keras.src.utils.naming.to_snake_case(str(loss.get("class_name")))
    return _LOSSES.get(name, "") if loss["config"].get("from_logits") is True else ""


def _activation(network: Any) -> str:
    """The name of the operation that makes the outputs; `linear` for a layer without an activation."""
    tensor = network.outputs[0]
    while True:
        operation, place, index = tensor._keras_history
        name = type(operation).__name__
        if isinstance(operation, keras.Model):
            tensor = operation.outputs[index]
            continue
        activation = getattr(operation, "activation", None)
        if name in _PASSING or (name == "Activation" and activation is keras.activations.linear):
            tensor = operation._inbound_nodes[place].input_tensors[0]
            continue
        return str(activation.__name__) if callable(activation) else keras.src.utils.naming.to_snake_case(name)


def _scaled(network: Any) -> tuple[Any, Any] | None:
    """What the network makes of the pixels 0 and 255 before its first layer with weights; None without scaling."""
    shape = [1, *(edge or 1 for edge in network.inputs[0].shape[1:])]
    ends = [np.zeros(shape, np.float32), np.full(shape, 255, np.float32)]
    found = False
    begun: set[int] = set()
    for operation in _operations(network):
        given = {id(tensor) for node in operation._inbound_nodes[:1] for tensor in node.input_tensors}
        scales = isinstance(operation, _SCALING)
        if scales or type(operation).__name__ in _ARITHMETIC:
            if not scales and len(operation._inbound_nodes[0].input_tensors) != 1:  # of two branches of the network
                break
            if given & begun:  # another branch, which scales the same pixels
                continue
            begun |= given
            try:
                ends = [np.asarray(operation(each)) if scales else _calculated(operation, each) for each in ends]
            except (TypeError, ValueError, tf.errors.OpError):  # for instance arrays of another size than the input
                return None
            found = True
        elif getattr(operation, "weights", ()):
            break
    return (ends[0], ends[1]) if found else None


def _calculated(operation: Any, value: Any) -> Any:
    """The result of an operation of one tensor and constants for the value of that tensor."""
    given = operation._inbound_nodes[0].arguments
    args = [value if isinstance(each, keras.KerasTensor) else each for each in given.args]
    named = {name: value if isinstance(each, keras.KerasTensor) else each for name, each in given.kwargs.items()}
    return np.asarray(operation(*args, **named))


def _operations(network: Any) -> Iterator[Any]:
    """The operations of a network in the order of its computation, with those of nested networks in their places."""
    for operation in network.layers if isinstance(network, keras.Sequential) else network.operations:
        if isinstance(operation, keras.Model):
            yield from _operations(operation)
        else:
            yield operation
