"""What an ONNX model does at its two ends: how it scales pixels, and which operator makes its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from model.training.export.source import Ends, ends_with

# Names of the operators that Keras calls by another name.
_NAMES = {"LogSoftmax": "log_softmax", "Gemm": "linear", "MatMul": "linear", "Conv": "linear", "Add": "linear"}

# Operators that only reorder, copy or convert a tensor, and those that also choose or interpolate pixels.
_PASSING = "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Dropout"
_BACK = *_PASSING, "QuantizeLinear", "DequantizeLinear"
_FRAMING = *_BACK, "Pad", "Slice", "Transpose", "Concat", "Split", "Gather", "Resize", "Upsample", "Clip"

# Domains of ONNX's own operators of arithmetic.
_OWN = "", "ai.onnx"

_ARITHMETIC: dict[str, Any] = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}


# Nodes between a constant and the array in the file that it is made of.
_MAX_STEPS = 20


def ends_of(graph: Any, given: str, made: str) -> Ends:
    """The ends of a GraphProto with all its weights: its input `given` and its output `made`."""
    with np.errstate(all="ignore"):  # constants of 0, infinity or NaN
        return ends_with(_last(graph, made), "", _scaled(graph, given, _Constants(graph)))


class _Constants:
    """The constants of a graph, also those that its nodes make of others."""

    def __init__(self, graph: Any) -> None:
        self._arrays = {array.name: array for array in graph.initializer}
        self._makers = {made: node for node in graph.node for made in node.output}
        self._known: dict[str, Any] = {}

    def numbers(self, name: str, steps: int = _MAX_STEPS) -> Any:
        """The numbers of a constant, float64; only their order may differ. Raises KeyError for a computed tensor."""
        if name not in self._known:
            self._known[name] = self._calculated(name, steps)
        return self._known[name]

    def _calculated(self, name: str, steps: int) -> Any:
        if name in self._arrays:
            return np.asarray(numpy_helper.to_array(self._arrays[name]), np.float64)
        node = self._makers[name]
        if _operator(node) == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            return np.asarray(numpy_helper.to_array(value) if isinstance(value, TensorProto) else value, np.float64)
        if steps and node.input and _operator(node) in _PASSING:
            return self.numbers(node.input[0], steps - 1)
        if not steps:
            raise KeyError(name)
        return _ARITHMETIC[_operator(node)](*(self.numbers(each, steps - 1) for each in node.input))


def _operator(node: Any) -> str:
    """The name of a node's operator; empty for a function of the file, which may have the name of an operator."""
    return str(node.op_type) if node.domain in _OWN else ""


def _last(graph: Any, tensor: str) -> str:
    """The name of the operator that makes a tensor."""
    makers = {made: node for node in graph.node for made in node.output}
    for _ in graph.node:  # the file is untrusted: its nodes may form a circle
        node = makers.get(tensor)
        if node is None or not node.input:
            break
        if _operator(node) not in _BACK:
            return _NAMES.get(_operator(node), _operator(node).lower())
        tensor = node.input[0]
    return ""


def _scaled(graph: Any, given: str, constants: _Constants) -> tuple[Any, Any] | None:
    """What the model makes of the pixels 0 and 255 before its first other operator; None without scaling."""
    tensors, ends, found = {given}, [np.float64(0), np.float64(255)], False
    for node in graph.node:
        if tensors.isdisjoint(node.input) or _operator(node) == "Shape":
            continue
        if _operator(node) in _FRAMING:
            tensors |= set(node.output)
            continue
        try:
            values = [None if each in tensors else constants.numbers(each) for each in node.input]
            ends = [_calculated(node, [end if each is None else each for each in values]) for end in ends]
        except (KeyError, ValueError, TypeError):  # another operator, a computed value, or arrays that do not fit
            break
        tensors, found = set(node.output[:1]), True
    return (ends[0], ends[1]) if found else None


def _calculated(node: Any, values: list[Any]) -> Any:
    """The result of arithmetic or of a normalisation. Raises KeyError for any other operator."""
    if _operator(node) != "BatchNormalization":
        return _ARITHMETIC[_operator(node)](*values)
    epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-5)
    pixels, scale, offset, mean, variance = values
    # The pixels have a value for each channel or one value, whatever their order is.
    return (np.ravel(pixels) - mean) / np.sqrt(variance + epsilon) * scale + offset
