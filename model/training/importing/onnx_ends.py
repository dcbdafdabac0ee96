"""What an ONNX model does at its two ends: how it scales pixels, and which operator makes its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from model.training.export.source import Ends, ends_with

# Names of the operators that Keras calls by another name.
_NAMES = {"LogSoftmax": "log_softmax", "Gemm": "linear", "MatMul": "linear", "Conv": "linear", "Add": "linear"}

# Operators that only reorder, copy or convert a tensor, and those that also choose or interpolate pixels.
_PASSING = "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Dropout", "QuantizeLinear"
_BACK = *_PASSING, "DequantizeLinear"
_FRAMING = *_BACK, "Pad", "Slice", "Transpose", "Concat", "Split", "Gather", "Resize", "Upsample", "Clip"

_ARITHMETIC: dict[str, Any] = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}


def ends_of(graph: Any, given: str, made: str) -> Ends:
    """The ends of a GraphProto with all its weights: its input `given` and its output `made`."""
    arrays = {array.name: array for array in graph.initializer}
    constants = (node for node in graph.node if node.op_type == "Constant")
    arrays |= {node.output[0]: each.t for node in constants for each in node.attribute if each.name == "value"}
    with np.errstate(all="ignore"):  # constants of 0, infinity or NaN
        return ends_with(_last(graph, made), "", _scaled(graph, given, arrays))


def _last(graph: Any, tensor: str) -> str:
    """The name of the operator that makes a tensor."""
    makers = {made: node for node in graph.node for made in node.output}
    for _ in graph.node:  # the file is untrusted: its nodes may form a circle
        node = makers.get(tensor)
        if node is None or not node.input:
            break
        if node.op_type not in _BACK:
            return _NAMES.get(node.op_type, str(node.op_type).lower())
        tensor = node.input[0]
    return ""


def _scaled(graph: Any, given: str, arrays: dict[str, Any]) -> tuple[Any, Any] | None:
    """What the model makes of the pixels 0 and 255 before its first other operator; None without scaling."""
    tensors, ends, found = {given}, [np.float64(0), np.float64(255)], False
    for node in graph.node:
        if tensors.isdisjoint(node.input) or node.op_type == "Shape":
            continue
        if node.op_type in _FRAMING:
            tensors |= set(node.output)
            continue
        try:
            values = [None if each in tensors else _numbers(arrays[each]) for each in node.input]
            ends = [_calculated(node, [end if each is None else each for each in values]) for end in ends]
        except (KeyError, ValueError):  # another operator, a computed value, or arrays that do not fit
            break
        tensors, found = set(node.output[:1]), True
    return (ends[0], ends[1]) if found else None


def _calculated(node: Any, values: list[Any]) -> Any:
    """The result of arithmetic or of a normalisation. Raises KeyError for any other operator."""
    if node.op_type != "BatchNormalization":
        return _ARITHMETIC[node.op_type](*values)
    epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-5)
    pixels, scale, offset, mean, variance = values
    # The pixels have a value for each channel or one value, whatever their order is.
    return (np.ravel(pixels) - mean) / np.sqrt(variance + epsilon) * scale + offset


def _numbers(array: Any) -> Any:
    return np.asarray(numpy_helper.to_array(array), np.float64)
