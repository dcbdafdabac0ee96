"""Files as Keras 2 writes them, made from networks of this Keras. Needs TensorFlow."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py


def as_keras2(value: Any, h5: bool) -> Any:
    """A configuration of this Keras as Keras 2 writes it."""
    if isinstance(value, list):
        return [as_keras2(each, h5) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    made = {key: as_keras2(each, h5) for key, each in value.items()}
    name, config = made.get("class_name"), made.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        return made
    if name == "Functional":
        made |= {"module": "keras.src.engine.functional", "registered_name": "Functional"}
        nested = {layer["name"] for layer in config["layers"] if layer["class_name"] in ("Functional", "Sequential")}
        for layer in config["layers"]:
            layer["inbound_nodes"] = [_node(node, nested) for node in layer["inbound_nodes"]]
        for end in ("input_layers", "output_layers"):
            place = config[end]
            config[end] = [[place[0], place[1] + (place[0] in nested), place[2]]]
    if name in ("DepthwiseConv2D", "SeparableConv2D"):
        config["groups"] = 1
    if name.startswith("Random"):
        config["rng_type"] = "stateful"
        config.pop("data_format", None)
    if name == "BatchNormalization":
        config["axis"] = [config["axis"] % 4]
        for key in ("synchronized", "renorm"):
            config.pop(key, None)
    if name == "InputLayer":
        config["batch_input_shape"] = config.pop("batch_shape")
    if h5:
        made = {key: made[key] for key in ("class_name", "config", "name", "inbound_nodes") if key in made}
    return made


def _node(node: Any, nested: set[str]) -> Any:
    tensors = node["args"]
    tensors = tensors[0] if isinstance(tensors[0], list) else tensors
    places = [tensor["config"]["keras_history"] for tensor in tensors]
    return [[name, call + (name in nested), tensor, {}] for name, call, tensor in places]


def rewrite(path: Path, change: Callable[[Any], Any], version: str = "2.15.0") -> Path:
    """Change the configuration in a .keras or .h5 file, and the version of the Keras that saved it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            parts = {name: file.read(name) for name in file.namelist()}
        parts["config.json"] = json.dumps(change(json.loads(parts["config.json"]))).encode()
        parts["metadata.json"] = json.dumps({"keras_version": version}).encode()
        with zipfile.ZipFile(path, "w") as file:
            for name, data in parts.items():
                file.writestr(name, data)
        return path
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(change(json.loads(file.attrs["model_config"])))
        file.attrs["keras_version"] = version
    return path


def saved(made: Any, path: Path) -> Path:
    """The model in a file of Keras 2 with this name; the first suffix is the format."""
    form = path.suffixes[0].replace("hdf5", "h5")
    file = path.with_name(f"written{form}")
    made.save(file)
    return Path(shutil.move(rewrite(file, lambda given: as_keras2(given, form != ".keras")), path))
