"""What a SavedModel does at its two ends: how it scales pixels, and which operation makes its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from model.training.export.source import Ends, ends_with

# Names of the operations that Keras calls by another name.
_NAMES = {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "log_softmax", "Tanh": "tanh"}
_NAMES |= dict.fromkeys(("BiasAdd", "MatMul", "Conv2D", "Einsum", "BatchMatMulV2"), "linear")

# Operations that call a function, that only reorder, copy or convert a tensor, and that choose or interpolate pixels.
_CALLS = "PartitionedCall", "StatefulPartitionedCall"
_PASSING = "Identity", "IdentityN", "Reshape", "Squeeze", "Cast", "StopGradient", "PreventGradient", "EnsureShape"
_CHOOSING = "Pad", "PadV2", "Transpose", "StridedSlice", "Pack", "ConcatV2", "ReverseV2", "GatherV2", "Split", "Unpack"
_FRAMING = *_PASSING, *_CHOOSING, "ResizeBilinear", "ResizeNearestNeighbor"
_ARITHMETIC: Mapping[str, Any] = {
    **{"Mul": np.multiply, "RealDiv": np.divide, "Div": np.divide, "Sub": np.subtract},
    **dict.fromkeys(("AddV2", "Add", "BiasAdd"), np.add),
}

# Operations on constants.
_CALCULATED: Mapping[str, Any] = {
    "Sqrt": np.sqrt,
    "Rsqrt": lambda value: 1 / np.sqrt(value),
    "Maximum": np.maximum,
    "Mul": np.multiply,
    "RealDiv": np.divide,
    "AddV2": np.add,
    "Sub": np.subtract,
}

# Operations that treat all dimensions alike, and the order of dimensions that puts the second one last.
_ALIKE = *_PASSING[:2], "Cast", *_ARITHMETIC
_TO_LAST = [0, 2, 3, 1]

# Calls and operations that are followed from one end. The graph is untrusted, and it may call itself.
_MOST = 1_000

# Operations on constants that are calculated. Normalisation needs about ten; each sum of a sum with itself would double
# the work.
_MOST_CONSTANTS = 100


@dataclass(frozen=True, slots=True)
class _Body:
    """The body of a function, or the graph itself: its nodes, its arguments, its results, and the call of it."""

    nodes: Mapping[str, Any]
    arguments: Sequence[str] = ()
    results: Sequence[str] = ()
    caller: _Body | None = None
    call: Any = None


class _Graph:
    """A GraphDef, and the values of the constants that are given to it, by the names of their placeholders."""

    def __init__(self, graph: Any, given: Mapping[str, Any]) -> None:
        self._given, self._constants = given, 0
        self._functions = {each.signature.name: each for each in graph.library.function}
        self.top = _Body({node.name: node for node in graph.node})

    def entered(self, node: Any, body: _Body) -> _Body:
        """The body of the function that a node calls."""
        function = self._functions[node.attr["f"].func.name]
        results = [function.ret[each.name] for each in function.signature.output_arg]
        arguments = [each.name for each in function.signature.input_arg]
        return _Body({each.name: each for each in function.node_def}, arguments, results, body, node)

    def maker(self, body: _Body, tensor: str) -> tuple[Any, _Body]:
        """The node that makes a tensor, and its body. Calls and operations that pass a tensor on are skipped."""
        for _ in range(_MOST):
            name, _, place = tensor.removeprefix("^").partition(":")
            if name in body.arguments and body.caller:
                tensor, body = body.call.input[body.arguments.index(name)], body.caller
                continue
            node = body.nodes[name]
            if node.op in _CALLS:
                body = self.entered(node, body)
                tensor = body.results[int(place.rpartition(":")[2] or 0)]
            elif node.op in _PASSING:
                tensor = node.input[int(place.rpartition(":")[2] or 0) if node.op == "IdentityN" else 0]
            else:
                return node, body
        raise KeyError(tensor)

    def constant(self, body: _Body, tensor: str) -> Any:
        """The value of a tensor that few constants alone determine. Raises KeyError for any other."""
        self._constants += 1
        if self._constants > _MOST_CONSTANTS:
            raise KeyError(tensor)
        node, body = self.maker(body, tensor)
        if node.op == "Const":
            return np.asarray(tf.make_ndarray(node.attr["value"].tensor), np.float64)
        if node.op == "Placeholder":
            return np.asarray(self._given[node.name], np.float64)
        return _CALCULATED[node.op](*(self.constant(body, each) for each in _data(node)))

    def transposes(self, name: str) -> bool:
        """Whether the one operation on a tensor puts its second dimension last, or convolves it as channels."""
        body = self.top
        for _ in range(_MOST):
            takers = [node for node in body.nodes.values() if name in map(_node, _data(node)) and node.op != "Shape"]
            if len(takers) != 1:
                break
            node = takers[0]
            if node.op in _CALLS:
                place = [_node(each) for each in node.input].index(name)
                body = self.entered(node, body)
                name = body.arguments[place]
            elif node.op == "Transpose":
                return bool(self.constant(body, node.input[1]).tolist() == _TO_LAST)
            elif node.op in _ALIKE:
                name = node.name
            else:
                return bool(node.attr["data_format"].s == b"NCHW")
        return False

    def scaled(self, name: str) -> tuple[Any, Any] | None:
        """What the graph makes of the pixels 0 and 255 before its first other operation; None without scaling."""
        body, names, ends, found = self.top, {name}, [np.float64(0), np.float64(255)], False
        for _ in range(_MOST):
            takers = [node for node in body.nodes.values() if not names.isdisjoint(map(_node, _data(node)))]
            takers = [node for node in takers if node.op != "Shape"]
            if takers and all(node.op in _FRAMING for node in takers):
                names = {node.name for node in takers}
                continue
            if len(takers) != 1:
                break
            node, inputs = takers[0], [_node(each) for each in _data(takers[0])]
            if node.op in _CALLS:
                body = self.entered(node, body)
                names = {argument for argument, each in zip(body.arguments, inputs, strict=False) if each in names}
                continue
            calculate = _ARITHMETIC.get(node.op)
            if calculate is None:
                break
            try:
                given = [None if _node(each) in names else self.constant(body, each) for each in _data(node)]
                ends = [calculate(*(end if each is None else each for each in given)) for end in ends]
            except (KeyError, ValueError):  # of two branches of the graph
                break
            names, found = {node.name}, True
        return (ends[0], ends[1]) if found else None


def takes_channels_first(score: Any) -> bool:
    """Whether the first operation on the images of a loaded signature takes their channels first."""
    read = _Graph(score.graph.as_graph_def(), _constants(score))
    try:
        return read.transposes(score.inputs[0].op.name)
    except (KeyError, IndexError, ValueError, TypeError):
        return False


def ends_of(score: Any) -> Ends:
    """The ends of a loaded signature, a function of one tensor that gives one tensor."""
    read = _Graph(score.graph.as_graph_def(), _constants(score))
    start = score.inputs[0].op.name
    try:
        last = read.maker(read.top, score.outputs[0].name)[0].op
    except (KeyError, IndexError, ValueError):
        last = ""
    try:
        scaled = read.scaled(start)
    except (KeyError, IndexError, ValueError, TypeError):
        scaled = None
    return ends_with(_NAMES.get(last, last), "", scaled)


def _constants(score: Any) -> dict[str, Any]:
    """The values of the tensors that a function captures, except variables, by the names of their placeholders."""
    return {
        inner.op.name: outer.numpy()
        for outer, inner in score.graph.captures
        if outer.dtype not in (tf.resource, tf.variant)
    }


def _data(node: Any) -> list[str]:
    """The tensors that a node takes, without the nodes that only run before it."""
    return [each for each in node.input if not each.startswith("^")]


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
