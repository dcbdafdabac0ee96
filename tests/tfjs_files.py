"""Models of TensorFlow.js: files as its JavaScript writes them for a network of Keras, and as its converter writes them
for a graph. Needs TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict

from tests.keras2_files import as_keras2

Arrays = Mapping[str, Any]

FILES = 4
"""Files of weights of each model; arrays begin in one and go on in the next."""

METADATA = {
    "tfjsVersion": "1.3.1",
    "tmVersion": "2.4.7",
    "packageVersion": "0.8.4-alpha2",
    "packageName": "@teachablemachine/image",
    "timeStamp": "2026-11-29T12:00:00.000Z",
    "userMetadata": {},
    "modelName": "tm-my-image-model",
    "labels": ["Class 1", "Class 2", "Class 3"],
    "imageSize": 20,
}
"""The metadata.json of Teachable Machine."""


def topology_of(network: Any) -> Any:
    """The topology as JavaScript writes it."""
    return {**_as_javascript(as_keras2(json.loads(network.to_json()), True)), "keras_version": "tfjs-layers 4.22.0"}


def _as_javascript(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_javascript(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _as_javascript(each) for key, each in value.items()}
    if made.get("class_name") == "Functional":
        made["class_name"] = "Model"
    if made.get("class_name") == "Sequential":  # its first layer has the shape
        given, first, *rest = made["config"]["layers"]
        first["config"]["batch_input_shape"] = given["config"]["batch_input_shape"]
        made["config"]["layers"] = [first, *rest]
    return made


def arrays_of(network: Any) -> dict[str, Any]:
    """The weights by TensorFlow.js' names."""
    found: dict[str, Any] = {}
    for layer in network.layers:
        if hasattr(layer, "layers"):
            found |= arrays_of(layer)
            continue
        for weight in layer.weights:
            prefix = "depthwise_" if type(layer).__name__ == "DepthwiseConv2D" and weight.name == "kernel" else ""
            found[f"{layer.name}/{prefix}{weight.name}"] = weight.numpy()
    return found


def dequantised(array: Any, quantised: str | None) -> Any:
    """The array that TensorFlow.js reads."""
    whole, entry = stored(array, quantised)
    if entry is None or quantised == "float16":
        return whole.astype(array.dtype)
    return (whole * entry["scale"] + entry["min"]).astype(np.float32)


def stored(array: Any, quantised: str | None) -> tuple[Any, dict[str, Any] | None]:
    """The array as it lies in the file, and its entry for the quantisation."""
    if quantised is None or array.dtype != np.float32:
        return array, None
    if quantised == "float16":
        return array.astype(np.float16), {"dtype": quantised, "original_dtype": "float32"}
    most = np.iinfo(quantised).max
    scale = float(array.max() - array.min()) / most or 1.0
    whole = np.rint((array - array.min()) / scale).astype(quantised)
    return whole, {"min": float(array.min()), "scale": scale, "dtype": quantised, "original_dtype": "float32"}


def write(folder: Path, content: Mapping[str, Any], arrays: Arrays, quantised: str | None = None) -> Path:
    """A model.json with this content and FILES files of weights, in a new folder."""
    folder.mkdir(parents=True)
    entries, data = [], b""
    for name, array in arrays.items():
        array, quantisation = stored(array, quantised)
        entry = {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
        entries.append(entry | {"dtype": "float32", "quantization": quantisation} if quantisation else entry)
        data += array.tobytes()
    size = -(-len(data) // FILES)
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    names = [f"group1-shard{number}of{len(parts)}.bin" for number in range(1, len(parts) + 1)]
    for name, part in zip(names, parts, strict=True):
        (folder / name).write_bytes(part)
    manifest = [{"paths": names, "weights": entries}]
    (folder / "model.json").write_text(json.dumps({**content, "weightsManifest": manifest}))
    return folder


def write_layers(folder: Path, network: Any, quantised: str | None = None) -> Path:
    """A layers model in a new folder."""
    content = {"format": "layers-model", "generatedBy": "TensorFlow.js tfjs-layers v4.22.0", "convertedBy": None}
    return write(folder, {**content, "modelTopology": topology_of(network)}, arrays_of(network), quantised)


def write_graph(
    folder: Path, graph: Any, arrays: Arrays, inputs: Sequence[str], outputs: Sequence[str], **more: Any
) -> Path:
    """A graph model of a GraphDef, whose constants lose their values, in a new folder. `inputs`, `outputs`: names of
    tensors."""
    topology = MessageToDict(graph)
    for node in topology["node"]:
        if node["op"] == "Const":
            tensor = node["attr"]["value"]["tensor"]
            node["attr"]["value"]["tensor"] = {key: tensor[key] for key in ("dtype", "tensorShape") if key in tensor}
    ends = {"inputs": {name: {"name": name} for name in inputs}, "outputs": {name: {"name": name} for name in outputs}}
    content = {"format": "graph-model", "signature": ends, "modelTopology": topology, **more}
    return write(folder, content, arrays)
