"""ONNX files to export. The file is copied unchanged when it has one output and holds all its weights."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime  # noqa: F401  # which must be missed here and not in the process that loads the file

from model.artifact.load import ENGINES
from model.engines.base import Images, Scores, Signature
from model.engines.onnx import End, OnnxModel, open_session, runtime_reason
from model.engines.onnx_check import read_onnx
from model.errors import ArtifactError
from model.text import quoted
from model.training.errors import SourceError
from model.training.export.progress import say
from model.training.export.source import NO_CHOICE, Choice, Endpoints, chosen, spec_of
from model.training.importing.onnx_ends import ends_of
from model.training.importing.onnx_limits import MAX_FIXED_BATCH, OnnxLimits
from model.training.importing.onnx_loading import load_apart
from model.training.importing.onnx_to_lite import write_saved_model

# Element types of onnx.proto that are real numbers: float32, float16, float64 and bfloat16.
_REAL = 1, 10, 11, 16

# Types of images in a signature.
_IMAGES = "float32", "uint8"


class OnnxSource:
    """An ONNX file with one input of images. With `lite`, a LiteRT form is made, too."""

    pixels = labels = None

    def __init__(
        self,
        path: Path,
        choice: Choice = NO_CHOICE,
        limits: OnnxLimits | None = None,
        *,
        lite: bool = False,
    ) -> None:
        self.origin, self._path, self._lite = str(path), path, lite
        self.engines = ("onnx", "litert") if lite else ("onnx",)
        limits = limits or OnnxLimits()
        self._files = check_file(path, limits)
        loaded = load_apart(path, limits, choice.size)
        self._made = loaded.outputs[chosen(self.origin, [end.name for end in loaded.outputs], choice.output)]
        self._is_cut = len(loaded.outputs) > 1
        _check_kinds(self.origin, loaded.inputs, self._made)
        if any(len(end.shape) == 4 and end.channels_first is None for end in loaded.inputs):
            raise SourceError(
                f"{path} takes {list(loaded.inputs[0].shape)}; one of the edges 1 and 3 must be its channels (1 or 3), "
                "and only one"
            )
        self.spec = spec_of(
            self.origin,
            [(end.name, end.image_shape, end.represented) for end in loaded.inputs],
            (self._made.name, self._made.row_shape, self._made.represented),
            choice.size,
        )
        if loaded.failed:
            raise SourceError(f"{path} cannot be run by ONNX Runtime: {loaded.failed}")
        graph = onnx.load(path).graph
        given = loaded.inputs[0]
        self.ends = ends_of(graph, given.name, self._made.name)
        self.parameters = sum(math.prod(array.dims) for array in graph.initializer if array.data_type in _REAL)
        self._model = OnnxModel(open_session(path), given, self._made)

    def score(self, images: Images, signature: Signature) -> Scores:
        try:
            return self._model.run(images)
        except Exception as exc:  # ONNX Runtime's exceptions have no base class of their own
            raise SourceError(f"{self.origin} cannot be run by ONNX Runtime: {runtime_reason(exc)}") from exc

    def write(self, work: Path) -> Endpoints | None:
        target = work / ENGINES["onnx"].path
        if self._files or self._is_cut:
            model = onnx.load(self._path)
            _cut(model, self._made.name)
            onnx.save_model(model, target)
        else:
            shutil.copyfile(self._path, target)
        if not self._lite:
            return None
        try:
            return write_saved_model(target, work / ENGINES["savedmodel"].path)
        except SourceError as exc:
            say(f"{self.origin} is not converted to LiteRT: {exc}")
            return None


def _check_kinds(origin: str, inputs: Sequence[End], made: End) -> None:
    """Raise SourceError for inputs and an output of another kind than images and scores, and for too large batches."""
    for given in inputs[:1] if len(inputs) == 1 else ():
        if given.represented not in _IMAGES:
            raise SourceError(f"{origin} takes {given.dtype}; it must take float32, float16, float64 or uint8")
        if given.shape and (given.shape[0] or 1) > MAX_FIXED_BATCH:
            raise SourceError(
                f"{origin} takes batches of {given.shape[0]:,} images, at most {MAX_FIXED_BATCH} are allowed, because "
                "one image is scored as a whole batch: export it with a batch of any size"
            )
    if made.dtype.startswith("seq(map("):
        raise SourceError(
            f"{origin} gives {quoted(made.name)} as {made.dtype}, a map for each image; it must be an array: convert "
            "it with options={'zipmap': False}"
        )


def check_file(path: Path, limits: OnnxLimits) -> frozenset[str]:
    """Check an ONNX file and the files with its weights, which must lie in its folder; returns their names.

    Raises SourceError.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist")
    size = path.stat().st_size
    _check_size(path, size, limits)
    try:
        contents = read_onnx(path)
    except ArtifactError as exc:
        raise SourceError(str(exc)) from exc
    if contents.nodes > limits.nodes:
        raise SourceError(
            f"{path} runs {contents.nodes:,} nodes; at most {limits.nodes:,} are allowed: --max-nodes allows more"
        )
    _check_size(path, size + contents.bytes_of_files, limits)
    folder = path.absolute().parent.resolve()
    for name in sorted(contents.files):
        file = folder / name
        # ONNX Runtime takes names with asterisks for addresses in memory. No file has NUL in its name.
        if "*" in name or "\0" in name or not file.resolve().is_relative_to(folder) or file.is_symlink():
            raise SourceError(f"{path} keeps weights in {quoted(name)}; they must be in files in its own folder")
        if not file.is_file():
            raise SourceError(f"{path} keeps weights in {quoted(name)}, which is not in its folder")
    return contents.files


def _check_size(path: Path, size: int, limits: OnnxLimits) -> None:
    if size > limits.size:
        raise SourceError(
            f"{path} has {size:,} bytes with its weights; at most {limits.size:,} are allowed (--max-size)"
        )


def _cut(model: Any, output: str) -> None:
    """Leave in a model only what one output needs."""
    graph, needed, kept = model.graph, {output}, []
    for node in reversed(graph.node):  # a node comes after those whose results it takes
        if needed.intersection(node.output):
            kept.append(node)
            needed |= _taken(node)
    inputs, arrays = ([each for each in of if each.name in needed] for of in (graph.input, graph.initializer))
    outputs = [each for each in graph.output if each.name == output]
    graph.CopyFrom(onnx.helper.make_graph(kept[::-1], graph.name, inputs, outputs, arrays))


def _taken(node: Any) -> set[str]:
    """The names that a node takes, itself and in its graphs, whose nodes may take those of the graph around them."""
    taken = set(node.input)
    for attribute in node.attribute:
        for graph in (*attribute.graphs, attribute.g):
            taken |= {name for inner in graph.node for name in _taken(inner)} | {end.name for end in graph.output}
    return taken
