"""Replaces the operations that TensorFlow.js' converter fuses by those of TensorFlow that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorflow.core.framework.graph_pb2 import GraphDef

from model.text import quoted
from model.training.errors import SourceError

# Operations that are fused with what follows them, and the operation alone.
_FUSED = {
    "_FusedConv2D": "Conv2D",
    "_FusedMatMul": "MatMul",
    "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "_FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
}
_ACTIVATIONS = "Relu", "Relu6", "Elu", "LeakyRelu", "Sigmoid", "Tanh"

# Attributes that an operation has alone, too.
_KEPT = (
    *("strides", "padding", "explicit_paddings", "dilations", "data_format", "use_cudnn_on_gpu"),
    *("transpose_a", "transpose_b"),
)


def separate(graph: GraphDef, file: Path) -> None:
    """Replace fused operations of a graph. Raises SourceError for one that is unknown."""
    parts = [part for node in graph.node for part in _parts(node, file)]
    del graph.node[:]
    graph.node.extend(parts)


def _parts(node: Any, file: Path) -> Sequence[Any]:
    """The operations that a node is made of; the last one has its name."""
    if node.op == "Prelu":
        return _prelu(node, node.input[0], node.input[1])
    if node.op not in _FUSED:
        return [node]
    fused = [each.decode() for each in node.attr["fused_ops"].list.s if each != b"NoOp"]
    count = node.attr["num_args"].i
    first, extra = list(node.input)[: len(node.input) - count], list(node.input)[len(node.input) - count :]
    parts = [_node(node, _FUSED[node.op], first)]
    _copy_attributes(node, parts[0], _KEPT)
    for number, name in enumerate(fused):
        before = parts[-1]
        before.name = f"{node.name}/part{number}"
        if name == "BiasAdd" and extra:
            parts.append(_node(node, "BiasAdd", [before.name, extra.pop(0)]))
            _copy_attributes(node, parts[-1], ("data_format",))
        elif name == "Prelu" and extra:
            parts += _prelu(node, before.name, extra.pop(0))
        elif name in _ACTIVATIONS:
            parts.append(_node(node, name, [before.name]))
            if name == "LeakyRelu":
                parts[-1].attr["alpha"].f = node.attr["leakyrelu_alpha"].f
        else:
            raise SourceError(
                f"{file}: {node.op} ({quoted(node.name)}) is fused with {quoted(name)}; only BiasAdd, Prelu and "
                f"{', '.join(_ACTIVATIONS)} are known"
            )
    return parts


def _prelu(node: Any, given: str, slope: str) -> Sequence[Any]:
    """max(x, 0) - slope * max(-x, 0), which is what Keras makes of the layer."""
    names = [f"{node.name}/{part}" for part in ("positive", "negated", "negative", "scaled")]
    positive, negated, negative, scaled = names
    parts = [
        _node(node, "Relu", [given]),
        _node(node, "Neg", [given]),
        _node(node, "Relu", [negated]),
        _node(node, "Mul", [negative, slope]),
    ]
    for part, name in zip(parts, names, strict=True):
        part.name = name
    return [*parts, _node(node, "Sub", [positive, scaled])]


def _node(node: Any, op: str, inputs: Sequence[str]) -> Any:
    """A node with the name and the type of another one."""
    made = type(node)(name=node.name, op=op, input=inputs, device=node.device)
    made.attr["T"].type = node.attr["T"].type or 1  # DT_FLOAT of TensorFlow's types.proto
    return made


def _copy_attributes(node: Any, made: Any, keys: Sequence[str]) -> None:
    for key in keys:
        if key in node.attr:
            made.attr[key].CopyFrom(node.attr[key])
