"""Reads a .onnx file as data, before ONNX Runtime loads it, and rejects what is not ONNX's own or is not in the file.

Field numbers are those of onnx.proto. The engine and the import run this check.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model.engines.protobuf import MAX_TEXT, Place, Reader, Value, length_of
from model.errors import ArtifactError

# Versions of ONNX's operators that ONNX Runtime has. It does not promise those before 7.
OPSETS = range(7, 29)

# Domains of ONNX's own operators. They compute in memory; none reads or writes a file.
_OWN = "", "ai.onnx", "ai.onnx.ml"

# How deeply graphs and functions may be nested.
MAX_DEPTH = 20

# Nodes of a file, where those of a function count at each call: ten functions that call each other may have billions.
MAX_NODES = 1_000_000

# Dimensions of an array of weights.
_MAX_DIMENSIONS = 64

# Numbers in a byte, at most: those of two bits.
_NUMBERS_IN_A_BYTE = 4

# Field numbers of onnx.proto's messages.
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_FUNCTIONS = 7, 8, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODES, _GRAPH_ARRAYS, _GRAPH_SPARSE = 1, 5, 15
_FUNCTION_NAME, _FUNCTION_NODES, _FUNCTION_DOMAIN, _FUNCTION_ATTRIBUTES, _FUNCTION_OVERLOAD = 1, 7, 10, 11, 13
_NODE_OPERATOR, _NODE_ATTRIBUTES, _NODE_DOMAIN, _NODE_OVERLOAD = 4, 5, 7, 8
_ATTRIBUTE_ARRAYS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_ARRAY_DIMENSIONS, _ARRAY_NAME, _ARRAY_NUMBERS, _ARRAY_FILE, _ARRAY_PLACE = 1, 8, (4, 5, 6, 7, 9, 10, 11), 13, 14
_PAIR_KEY, _PAIR_VALUE = 1, 2

# An operator or a function: its domain, its name and its overload.
_Name = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a checked file holds: its count of nodes, where those of a function count at each call, the places of other
    files with weights, as it names them, and the bytes of weights that it takes of them."""

    nodes: int
    files: frozenset[str]
    bytes_of_files: int


def check_onnx(path: Path) -> None:
    """Raise ArtifactError unless all operators of the file are ONNX's own and all its weights are in the file."""
    if read_onnx(path).files:
        raise ArtifactError(f"{path} keeps weights in other files; a served model must hold all its weights")


def read_onnx(path: Path) -> Contents:
    """Read and check a file, whose weights may be in other files. Raises ArtifactError."""
    try:
        with _opened(path) as (reader, message):
            return _Check(path, reader).model(message)
    except ValueError as exc:
        raise ArtifactError(f"{path} is not an ONNX model, or it is truncated or damaged: {exc}") from None


def is_onnx(path: Path) -> bool:
    """Whether a file's bytes are those of an ONNX model, whatever its name."""
    try:
        with _opened(path) as (reader, message):
            return {_MODEL_GRAPH, _MODEL_OPSETS} <= {number for number, _ in reader.fields(message)}
    except (OSError, ValueError):
        return False


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Reader, Place]]:
    """A reader of a file, and the place of its message."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Reader(data), (0, len(data))


class _Check:
    """The check of one file, and what it finds."""

    def __init__(self, path: Path, reader: Reader) -> None:
        self._path, self._reader = path, reader
        self._functions: dict[_Name, Value] = {}
        self._nodes_of: dict[tuple[_Name, int], int] = {}
        self._files: set[str] = set()
        self._bytes_of_files = 0

    def model(self, message: Value) -> Contents:
        graphs: list[Value] = []
        versions: dict[str, int] = {}
        for number, value in self._reader.fields(message):
            if number == _MODEL_GRAPH:
                graphs.append(value)
            elif number == _MODEL_FUNCTIONS:
                self._functions[self._function_name(value)] = value
            elif number == _MODEL_OPSETS:
                versions |= self._opset(value)
        if not graphs or not versions:
            raise ValueError("it has no graph" if not graphs else "it names no version of its operators")
        version = versions.get("", versions.get("ai.onnx", OPSETS[0]))
        if version not in OPSETS:
            raise ArtifactError(
                f"{self._path} uses the operators of ONNX's opset {version}; it must be from {OPSETS[0]} to "
                f"{OPSETS[-1]}: export the model with opset 17, for instance"
            )
        nodes = sum(self._graph(graph, 1) for graph in graphs)
        for name in self._functions:  # those that no node calls, too
            self._function(name, 1)
        if nodes > MAX_NODES:
            raise ArtifactError(f"{self._path} runs {nodes:,} nodes; at most {MAX_NODES:,} are allowed")
        return Contents(nodes, frozenset(self._files), self._bytes_of_files)

    def _graph(self, message: Value, depth: int) -> int:
        """Check a graph; returns its count of nodes."""
        self._check_depth(depth)
        count = 0
        for number, value in self._reader.fields(message):
            if number == _GRAPH_NODES:
                count += self._node(value, depth)
            elif number == _GRAPH_ARRAYS:
                self._array(value)
            elif number == _GRAPH_SPARSE:
                raise self._sparse()
        return count

    def _node(self, message: Value, depth: int) -> int:
        """Check a node; returns 1 and the nodes of the graphs and functions that it runs."""
        domain = operator = overload = ""
        count = 1
        for number, value in self._reader.fields(message):
            if number == _NODE_OPERATOR:
                operator = self._reader.text(value)
            elif number == _NODE_DOMAIN:
                domain = self._reader.text(value)
            elif number == _NODE_OVERLOAD:
                overload = self._reader.text(value)
            elif number == _NODE_ATTRIBUTES:
                count += self._attribute(value, depth)
        name = domain, operator, overload
        if name in self._functions:
            return count + self._function(name, depth + 1)
        if domain not in _OWN:
            raise ArtifactError(
                f"{self._path} runs the operator {f'{domain}.{operator}'[:100]!r}, which is not ONNX's own; export the "
                "model with ONNX's own operators only"
            )
        return count

    def _attribute(self, message: Value, depth: int) -> int:
        count = 0
        for number, value in self._reader.fields(message):
            if number in _ATTRIBUTE_ARRAYS:
                self._array(value)
            elif number in _ATTRIBUTE_GRAPHS:
                count += self._graph(value, depth + 1)
            elif number in _ATTRIBUTE_SPARSE:
                raise self._sparse()
        return count

    def _function(self, name: _Name, depth: int) -> int:
        """Check a function that is called at a depth; returns its count of nodes."""
        self._check_depth(depth)
        if (name, depth) not in self._nodes_of:
            count = 0
            for number, value in self._reader.fields(self._functions[name]):
                if number == _FUNCTION_NODES:
                    count += self._node(value, depth)
                elif number == _FUNCTION_ATTRIBUTES:
                    count += self._attribute(value, depth)
            self._nodes_of[name, depth] = count
        return self._nodes_of[name, depth]

    def _array(self, message: Value) -> None:
        """Check that an array holds the numbers that its shape declares, unless they are in another file."""
        shape: list[int] = []
        held, name, is_elsewhere = 0, "", False
        place: dict[str, str] = {}
        for number, value in self._reader.fields(message):
            if number == _ARRAY_DIMENSIONS:
                shape += self._reader.numbers(value)
            elif number in _ARRAY_NUMBERS:
                held += 8 if isinstance(value, int) else max(1, length_of(value))  # a text may be empty
            elif number == _ARRAY_FILE:
                place |= [self._pair(value)]
            elif number == _ARRAY_PLACE:
                is_elsewhere |= value != 0
            elif number == _ARRAY_NAME:
                name = self._reader.text(value)
        if place or is_elsewhere:
            self._array_elsewhere(place)
            return
        if len(shape) > _MAX_DIMENSIONS:
            raise ValueError(f"an array of {len(shape):,} dimensions")
        declared = math.prod(shape)
        if declared > _NUMBERS_IN_A_BYTE * held:
            raise ArtifactError(
                f"{self._path} declares an array of {min(declared, 1 << 63):,} numbers, {name[:80]!r}, and holds "
                f"{held:,} bytes of it"
            )

    def _array_elsewhere(self, place: Mapping[str, str]) -> None:
        """Note the file with an array. Its length must be stated: each of many arrays could be a whole file."""
        name, length = place.get("location", ""), place.get("length", "")
        if not (length.isascii() and length.isdecimal()):
            raise ArtifactError(
                f"{self._path} keeps weights in other files ({name[:80]!r}) without stating their length"
            )
        self._files.add(name)
        self._bytes_of_files += int(length)

    def _pair(self, message: Value) -> tuple[str, str]:
        key = text = ""
        for number, value in self._reader.fields(message):
            if number == _PAIR_KEY:
                key = self._reader.text(value)
            elif number == _PAIR_VALUE:
                if length_of(value) > MAX_TEXT:
                    raise ValueError(f"the name of a file with weights has more than {MAX_TEXT} bytes")
                text = self._reader.text(value)
        return key, text

    def _opset(self, message: Value) -> dict[str, int]:
        domain, version = "", 0
        for number, value in self._reader.fields(message):
            if number == _OPSET_DOMAIN:
                domain = self._reader.text(value)
            elif number == _OPSET_VERSION and isinstance(value, int):
                version = value
        return {domain: version}

    def _function_name(self, message: Value) -> _Name:
        found = {_FUNCTION_DOMAIN: "", _FUNCTION_NAME: "", _FUNCTION_OVERLOAD: ""}
        for number, value in self._reader.fields(message):
            if number in found:
                found[number] = self._reader.text(value)
        return found[_FUNCTION_DOMAIN], found[_FUNCTION_NAME], found[_FUNCTION_OVERLOAD]

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ArtifactError(f"{self._path} nests graphs or functions more than {MAX_DEPTH} deep, the limit")

    def _sparse(self) -> ArtifactError:
        return ArtifactError(f"{self._path} holds a sparse tensor; save its weights as dense ones")
