"""Small ONNX networks for tests, made with the package onnx alone, and their scores by numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

EDGES = 6, 5
"""Height and width of the images, which differ, so that none can be taken for the other."""

_REAL = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}


def weights(labels: int = 3, channels: int = 3) -> tuple[Any, Any]:
    """The matrix [labels, height * width * channels] and the offsets [labels] of `network`."""
    rng = np.random.default_rng(labels)
    count = EDGES[0] * EDGES[1] * channels
    return rng.normal(0, 6 / count**0.5, (labels, count)).astype(np.float32), np.linspace(-1, 1, labels, dtype="f")


def network(
    *,
    first: bool = True,
    batch: int | str = "n",
    kind: int = TensorProto.FLOAT,
    last: str | None = "Softmax",
    labels: int = 3,
    channels: int = 3,
    edges: Sequence[int | str] = EDGES,
    opset: int = 17,
    before: Sequence[tuple[str, Any]] = (),
) -> Any:
    """A network that multiplies all pixels of an image, in the order of its input, with a matrix.

    `first`: channels before height and width. `before`: operators with a constant that change the pixels first.
    """
    inner = kind if kind in _REAL else TensorProto.FLOAT
    matrix, offset = (each.astype(_REAL[inner]) for each in weights(labels, channels))
    arrays = [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(offset, "offset")]
    nodes = [helper.make_node("Cast", ["images"], ["x0"], to=inner)]
    for number, (operator, value) in enumerate(before):
        arrays.append(numpy_helper.from_array(np.asarray(value, _REAL[inner]), f"c{number}"))
        nodes.append(helper.make_node(operator, [f"x{number}", f"c{number}"], [f"x{number + 1}"]))
    nodes.append(helper.make_node("Flatten", [f"x{len(before)}"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "matrix", "offset"], ["logits" if last else "scores"], transB=1))
    if last:
        nodes.append(helper.make_node(last, ["logits"], ["scores"]))
    shape = [batch, channels, *edges] if first else [batch, *edges, channels]
    return model(nodes, [("images", kind, shape)], [("scores", inner, [batch, labels])], arrays, opset=opset)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Any]] = (("images", TensorProto.FLOAT, ["n", 3, *EDGES]),),
    outputs: Sequence[tuple[str, int, Any]] = (("scores", TensorProto.FLOAT, ["n", 3]),),
    arrays: Sequence[Any] = (),
    *,
    opset: int = 17,
    domains: Sequence[str] = (),
    **more: Any,
) -> Any:
    """A model of nodes, inputs and outputs (name, type, shape), and arrays of weights."""
    ends = [[helper.make_tensor_value_info(*each) for each in of] for of in (inputs, outputs)]
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    graph = helper.make_graph(list(nodes), "graph", *ends, initializer=list(arrays))
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def logits(images: Any, labels: int = 3, *, first: bool = True) -> Any:
    """What `network` without a last operator makes of images [N, height, width, channels]."""
    matrix, offset = weights(labels, images.shape[3])
    ordered = images.transpose(0, 3, 1, 2) if first else images
    return ordered.reshape(len(images), -1).astype(np.float64) @ matrix.T.astype(np.float64) + offset


def softmax(values: Any) -> Any:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def saved(path: Path, made: Any) -> Path:
    """Write a model to a file."""
    path.write_bytes(made.SerializeToString())
    return path
