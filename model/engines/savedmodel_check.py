"""Reads a SavedModel as data, before TensorFlow loads it, and rejects operations that are not on an allow-list.

The engine runs this check when a worker loads a SavedModel, and the import runs it for a SavedModel folder. It covers
every MetaGraph and every function, even those that no signature calls: loading runs initialisers, and the conversion to
LiteRT runs the saver's restore function.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from model.engines.savedmodel_ops import RESTORING, SAVING, SERVING, WRITING
from model.errors import ArtifactError

_ROOT = "saved_model.pb"
_FILES = {_ROOT, "fingerprint.pb", "keras_metadata.pb", "variables/variables.index"}
_DATA = "variables/variables.data-*-of-*"
# DT_INT64 and DT_UINT32 of TensorFlow's types.proto: dtypes of the state of Keras' random number generators.
_SEEDS = {9, 22}

_INITIALISER = "__saved_model_init_op"

# Operations of the saver's nodes in the graph, apart from the placeholder of the file name.
_CALLING = {"Identity", "NoOp", "PartitionedCall", "StatefulPartitionedCall", "VarHandleOp"}

# Kinds of objects that the object graph may hold.
_KINDS = {"user_object", "function", "bare_concrete_function", "variable", "constant", "captured_tensor"}

# TensorFlow's own classes that an object may name.
_CLASSES = {"tf.TrackableConstant"}

# Bytes of saved_model.pb. Weights are in separate files, so a graph takes a few megabytes.
MAX_ROOT_BYTES = 1_000_000_000

# Numbers in all constants together. One number in the file can represent any number of equal ones.
MAX_CONSTANTS = 500_000_000


class ForbiddenModel(ArtifactError):
    """A SavedModel that must not be loaded; the message names the operation, the object or the file."""


def check_saved_model(path: Path) -> None:
    """Check `path` before TensorFlow loads it. Raises ForbiddenModel, or ArtifactError when it is not a SavedModel."""
    _check_files(path)
    _Graph(path, _parse(path)).check()


def _parse(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    root = path / _ROOT
    if root.stat().st_size > MAX_ROOT_BYTES:
        raise ForbiddenModel(f"{root} has {root.stat().st_size:,} bytes; at most {MAX_ROOT_BYTES:,} are allowed")
    try:
        saved = SavedModel.FromString(root.read_bytes())
    except DecodeError:
        raise ArtifactError(f"{root} is truncated or damaged") from None
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise ForbiddenModel(
            f"{root} holds {len(saved.meta_graphs)} MetaGraphs in the format of TensorFlow 1; it must hold one in the "
            "format of TensorFlow 2: load it with tf.saved_model.load and save it with tf.saved_model.save"
        )
    return saved.meta_graphs[0]


def _check_files(path: Path) -> None:
    """Reject links and unknown files: TensorFlow follows links and also reads saved_model.pbtxt and saved_model.cpb."""
    if not (path / _ROOT).is_file():
        raise ArtifactError(f"{path / _ROOT} is missing or not a file")
    for each in sorted(path.rglob("*")):
        name = each.relative_to(path)
        if each.is_symlink():
            raise ForbiddenModel(f"{path} holds the link {name}; it must hold plain files: copy it with cp -rL")
        if not (each.is_dir() or (each.is_file() and (name.as_posix() in _FILES or name.match(_DATA)))):
            raise ForbiddenModel(
                f"{path} holds the file {name}; a served SavedModel holds only {', '.join(sorted(_FILES))} and {_DATA}"
            )


class _Graph:
    """A MetaGraph: which functions call which, and which operations each may hold."""

    def __init__(self, path: Path, graph: Any) -> None:
        self._path, self._graph = path, graph
        self._nodes = {node.name: node for node in graph.graph_def.node}
        self._functions = {each.signature.name: each for each in graph.graph_def.library.function}
        if len(self._nodes) + len(self._functions) != len(graph.graph_def.node) + len(graph.graph_def.library.function):
            raise ForbiddenModel(f"{path} gives one name to two nodes or to two functions")

    def check(self) -> None:
        graph, saver = self._graph, self._graph.saver_def
        if graph.asset_file_def:
            name = graph.asset_file_def[0].filename
            raise ForbiddenModel(f"{self._path} reads the asset file {name!r}; a served model must not read files")
        ends = [graph.signature_def[name].outputs.values() for name in graph.signature_def if name != _INITIALISER]
        served = self._before(*(tensor.name for outputs in ends for tensor in outputs))
        restoring, saving = self._before(saver.restore_op_name), self._before(saver.save_tensor_name)
        # A function is the saver's own when only the saver's nodes call it, and no function does, not even itself.
        savers_nodes = (restoring | saving) - served
        restorers = self._called(restoring - served)
        savers = self._called(saving - served)
        others = self._called(self._nodes.keys() - savers_nodes) | self._objects()
        others |= {name for each in self._functions.values() for node in each.node_def for name in _names(node)}
        others |= self._functions.keys() - restorers - savers
        objects = graph.object_graph_def.nodes
        named = {each.bare_concrete_function.concrete_function_name for each in objects} - {""}
        signatures = self._reached(self._called(served) | named)

        self._check(self._nodes.values(), "its graph", SERVING | WRITING)
        self._check((self._nodes[name] for name in served), "its graph", SERVING)
        for names, allowed in (
            (signatures, SERVING),
            (others, SERVING | WRITING),
            (restorers, SERVING | WRITING | RESTORING),
            (savers, SERVING | WRITING | SAVING),
        ):
            for name in sorted(names):
                self._check(self._function(name).node_def, f"the function {name}", allowed)
        self._check_restoring(restoring, restorers)
        self._check_constants()

    def _check(self, nodes: Iterable[Any], where: str, allowed: frozenset[str]) -> None:
        for node in nodes:
            if node.op not in allowed and not _draws(node):
                what = "writes a variable with" if node.op in WRITING else "runs"
                raise ForbiddenModel(
                    f"{self._path} {what} {node.op} ({node.name!r} of {where}); a served model may only compute and "
                    "read its own variables: save it with only its serving function"
                )

    def _check_restoring(self, nodes: set[str], functions: set[str]) -> None:
        """Check that restoring reads only the file that it is given, which is the SavedModel's own."""
        file = _node(self._graph.saver_def.filename_tensor_name)
        for name in sorted(nodes):
            if self._nodes[name].op not in _CALLING and not (name == file and self._nodes[name].op == "Placeholder"):
                raise ForbiddenModel(
                    f"{self._path} restores its variables with {self._nodes[name].op} ({name!r} of its graph); allowed "
                    f"are {', '.join(sorted(_CALLING))} and the placeholder of the file name"
                )
        for function in map(self._function, sorted(functions)):
            given = {each.name for each in function.signature.input_arg}
            for node in function.node_def:
                if node.op in RESTORING and node.input[0] not in given:
                    where = f"{node.name!r} of the function {function.signature.name}"
                    raise ForbiddenModel(f"{self._path} runs {node.op} ({where}) on a file that the model names")

    def _check_constants(self) -> None:
        functions = (node for function in self._functions.values() for node in function.node_def)
        shapes = [node.attr["value"].tensor.tensor_shape for node in (*self._nodes.values(), *functions)]
        count = sum(math.prod(max(0, dim.size) for dim in shape.dim) for shape in shapes)
        if count > MAX_CONSTANTS:
            raise ForbiddenModel(
                f"{self._path} holds constants of {count:,} numbers; at most {MAX_CONSTANTS:,} are allowed"
            )

    def _objects(self) -> set[str]:
        """The functions that the object graph exposes to the code that loads the model."""
        objects = self._graph.object_graph_def
        for each in objects.nodes:
            kind = each.WhichOneof("kind")
            what = each.registered_saver or each.registered_name or kind
            if kind not in _KINDS or what not in {kind, *_CLASSES}:
                raise ForbiddenModel(f"{self._path} holds an object of the kind {what!r}; allowed: {sorted(_KINDS)}")
        return set(objects.concrete_functions)

    def _before(self, *ends: str) -> set[str]:
        """The names of these nodes (or the nodes of these tensors) and of all nodes that they depend on."""
        found: set[str] = set()
        waiting = [_node(end) for end in ends if end]
        while waiting:
            name = waiting.pop()
            if name not in self._nodes:
                raise ForbiddenModel(f"{self._path} names the node {name!r}, which it does not hold")
            if name not in found:
                found.add(name)
                waiting += map(_node, self._nodes[name].input)
        return found

    def _called(self, nodes: Iterable[str]) -> set[str]:
        """The functions that these nodes of the graph call directly."""
        return {called for name in nodes for called in _names(self._nodes[name])}

    def _reached(self, names: set[str]) -> set[str]:
        """These functions and all functions that they call, directly or indirectly."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += (called for node in self._function(name).node_def for called in _names(node))
        return found

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            raise ForbiddenModel(f"{self._path} calls the function {name!r}, which it does not hold")
        return self._functions[name]


def _node(tensor: str) -> str:
    """The node's name in `^node`, `node:0` or `node`."""
    return tensor.removeprefix("^").partition(":")[0]


def _draws(node: Any) -> bool:
    """Whether a node advances a random number generator, as augmentation layers do even when they change no image."""
    return bool(node.op == "AssignVariableOp" and node.attr["dtype"].type in _SEEDS)


def _names(node: Any) -> set[str]:
    """The functions that a node's attributes name, at any depth."""
    found: set[str] = set()
    waiting = list(node.attr.values())
    while waiting:
        value = waiting.pop()
        for function in (*([value.func] if value.HasField("func") else []), *value.list.func):
            found.add(function.name)
            waiting += function.attr.values()
    return found
