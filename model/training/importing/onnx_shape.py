"""Gives an ONNX file a fixed size of images, for files that leave it open and whose configuration says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from model.training.importing.onnx_limits import OnnxLimits
from model.training.importing.onnx_source import check_file

_CHANNELS = 1, 3


def with_shape(path: Path, size: tuple[int, int] | None, limits: OnnxLimits, target: Path) -> Path:
    """The file itself, or a copy at `target` in which images have no open edges: they get three channels and `size`,
    which is height and width. Without a size, only the channels are fixed.

    Exporters of transformers leave all edges open, so that the file does not say where the channels are. They come
    first, as in PyTorch, unless the last edge is fixed to 1 or 3. Raises SourceError for a file that is not allowed.
    """
    check_file(path, limits)
    model = onnx.load(path, load_external_data=False)
    edges = _open_edges(model.graph)
    if not edges:
        return path
    model = onnx.load(path)
    dims = _images(model.graph).type.tensor_type.shape.dim
    last = dims[3].dim_value in _CHANNELS
    height, width = size or (0, 0)
    for place in edges:
        if edge := ((height, width, 3) if last else (3, height, width))[place - 1]:
            dims[place].dim_value = edge
    del model.graph.value_info[:]  # sizes that followed from the open ones
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, target)
    return target


def _images(graph: Any) -> Any:
    """The only input that is no array of weights; None when there are several."""
    weights = {array.name for array in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    return inputs[0] if len(inputs) == 1 else None


def _open_edges(graph: Any) -> list[int]:
    """The places of the edges of an image that are not fixed; empty for another input than images."""
    images = _images(graph)
    dims = images.type.tensor_type.shape.dim if images is not None else ()
    return [place for place in (1, 2, 3) if dims[place].dim_value < 1] if len(dims) == 4 else []
