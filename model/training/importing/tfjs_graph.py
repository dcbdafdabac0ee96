"""Writes a graph model of TensorFlow.js as a SavedModel: its topology is a GraphDef in JSON without its constants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.json_format import ParseDict, ParseError
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.core.framework.graph_pb2 import GraphDef

from model.engines.savedmodel import SERVING
from model.engines.savedmodel_ops import SERVING as ALLOWED
from model.text import quoted, reason
from model.training.errors import SourceError
from model.training.importing.tfjs_fused import separate

# Keys under which versions of the converter keep the names of the inputs and outputs.
_SIGNATURES = "signature", "userDefinedMetadata"


def write_graph(content: Mapping[str, Any], weights: Mapping[str, Any], file: Path, folder: Path) -> None:
    """Write the SavedModel of a model.json's `content` with these arrays into a new folder; `file` is the model.json.

    Nothing of the graph runs. Raises SourceError when the graph is malformed, holds other operations than those that
    may be served, or lacks an array.
    """
    if content.get("modelInitializer"):
        raise SourceError(f"{file} has an initialiser of tables (modelInitializer); a served model only computes")
    graph = _graph(content["modelTopology"], file)
    _fill(graph, weights, file)
    separate(graph, file)
    for node in _nodes(graph):
        if node.op not in ALLOWED:
            raise SourceError(f"{file} runs {node.op} ({quoted(node.name)}); a served model may only compute")
    inputs, outputs = _ends(content, graph)
    try:
        loaded = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
        given, made = ([loaded.graph.as_graph_element(name) for name in ends.values()] for ends in (inputs, outputs))
        _save(loaded.prune(given, made), given, [_name(key) for key in outputs], folder)
    except Exception as exc:  # TensorFlow raises many kinds of exceptions for a damaged graph
        raise SourceError(f"{file} is not a graph that TensorFlow can load: {reason(exc)}") from exc


def _save(score: Any, given: Sequence[Any], names: Sequence[str], folder: Path) -> None:
    def served(*images: Any) -> dict[str, Any]:
        return dict(zip(names, score(*images), strict=True))

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, _name(tensor.op.name)) for tensor in given]
    function = tf.function(served, input_signature=specs, autograph=False)
    module = tf.Module()
    module.score = function
    tf.saved_model.save(module, str(folder), signatures={SERVING: function})


def _graph(topology: Any, file: Path) -> GraphDef:
    try:
        return ParseDict(topology, GraphDef(), ignore_unknown_fields=True)
    except (ParseError, RecursionError, ValueError, TypeError) as exc:
        raise SourceError(f"{file}: modelTopology is not a graph of TensorFlow: {reason(exc)}") from exc


def _nodes(graph: GraphDef) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _fill(graph: GraphDef, weights: Mapping[str, Any], file: Path) -> None:
    """Give the constants of a graph their arrays, in the types that the graph names. Other constants are left out by
    no converter."""
    for node in _nodes(graph):
        if node.op != "Const":
            continue
        if node.name not in weights:
            raise SourceError(f"{file} lists no weights for the constant {quoted(node.name)}")
        array, said = weights[node.name], node.attr["value"].tensor
        shape = [edge.size for edge in said.tensor_shape.dim]
        if shape != list(array.shape):
            raise SourceError(
                f"{file} lists the weights {quoted(node.name)} of the shape {list(array.shape)}; its graph takes "
                f"{shape}"
            )
        try:
            made = tf.make_tensor_proto(array, tf.dtypes.as_dtype(node.attr["dtype"].type))
        except (TypeError, ValueError) as exc:
            raise SourceError(f"{file}: the constant {quoted(node.name)} cannot be made: {reason(exc)}") from exc
        node.attr["value"].CopyFrom(AttrValue(tensor=made))


def _ends(content: Mapping[str, Any], graph: GraphDef) -> tuple[dict[str, str], dict[str, str]]:
    """The tensors of the inputs and of the outputs by their names: those of the signature, else the placeholders and
    the results that no node takes."""
    found = next((each for key in _SIGNATURES if (each := _signature(content.get(key)))), None)
    if found:
        return found
    taken = {each.removeprefix("^").partition(":")[0] for node in graph.node for each in node.input}
    inputs = {node.name: f"{node.name}:0" for node in graph.node if node.op == "Placeholder"}
    outputs = {node.name: f"{node.name}:0" for node in graph.node if node.name not in taken and node.op != "NoOp"}
    return inputs, outputs


def _signature(value: Any) -> tuple[dict[str, str], dict[str, str]] | None:
    value = value.get("signature", value) if isinstance(value, Mapping) else None
    inputs, outputs = (value.get("inputs"), value.get("outputs")) if isinstance(value, Mapping) else (None, None)
    if not isinstance(inputs, Mapping) or not isinstance(outputs, Mapping) or not inputs or not outputs:
        return None
    return _tensors(inputs), _tensors(outputs)


def _tensors(ends: Mapping[str, Any]) -> dict[str, str]:
    """The names of tensors by those of ends; a node's first tensor has the node's name in some files."""
    names = {
        key: str(info["name"]) if isinstance(info, Mapping) and "name" in info else key for key, info in ends.items()
    }
    return {key: name if ":" in name else f"{name}:0" for key, name in names.items()}


def _name(key: str) -> str:
    """A name that a SavedModel's signature may hold."""
    return re.sub(r"\W", "_", key.removesuffix(":0"))
