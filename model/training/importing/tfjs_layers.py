"""Builds the Keras network of a layers model of TensorFlow.js: its topology is a configuration of Keras 2."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras.src.legacy.saving import saving_options, saving_utils
from keras.src.saving.serialization_lib import SafeModeScope

from model.text import quoted, shortened
from model.training.errors import SourceError
from model.training.importing.keras_ends import loss_meaning
from model.training.importing.keras_file import KerasFile
from model.training.importing.safe_keras import JAVASCRIPT, build, safe_configuration

# Names of weights in Keras 2, and in this Keras, by the layer's class.
_RENAMED = {("DepthwiseConv2D", "depthwise_kernel"): "kernel", ("DepthwiseConv1D", "depthwise_kernel"): "kernel"}


def build_layers(topology: Mapping[str, Any], weights: Mapping[str, Any], file: Path) -> tuple[Any, str]:
    """The keras.Model of a topology with these arrays, and what its loss says about its outputs; `file` is the
    model.json.

    Raises SourceError when Keras cannot build it without running its code, and when an array is missing, left over or
    of another shape.
    """
    version = str(topology.get("keras_version") or "")[:20]
    if version.startswith("3"):
        raise SourceError(
            f"{file} was converted from a network of Keras {version}, whose weights in TensorFlow.js do not name their "
            "layers; import the file that Keras saved"
        )
    is_keras = version[:1] in ("1", "2")
    configuration = topology.get("model_config", topology)
    compiled, numbers = topology.get("training_config"), sum(array.size for array in weights.values())
    described = KerasFile(file, ".json", configuration, compiled, numbers, version if is_keras else JAVASCRIPT)
    network = build(described, partial(_from, safe_configuration(described)))
    if not isinstance(network, keras.Model):
        raise SourceError(f"{file} holds a {type(network).__name__} layer; it must hold a network")
    _assign(network, weights, file)
    return network, loss_meaning(compiled)


def _from(configuration: Any) -> Any:
    """The network of a checked configuration of Keras 2, as Keras builds it for an .h5 file."""
    with saving_options.keras_option_scope(use_legacy_config=True), SafeModeScope(True):
        return saving_utils.model_from_config(copy.deepcopy(configuration))


def _assign(network: Any, weights: Mapping[str, Any], file: Path) -> None:
    """Give each variable of the network its array, by the layer's name and its own."""
    layers = _leaves(network, file)
    missing = {f"{name}/{variable.name}" for name, layer in layers.items() for variable in layer.weights}
    for key, array in weights.items():
        name, variable = _variable(key, layers)
        if variable is None:
            raise SourceError(f"{file} lists the weights {quoted(key)}, which no layer of its topology has")
        if f"{name}/{variable.name}" not in missing:
            raise SourceError(f"{file} lists the weights {quoted(key)} under two names")
        if tuple(variable.shape) != array.shape:
            raise SourceError(
                f"{file} lists the weights {quoted(key)} of the shape {list(array.shape)}; its layer takes "
                f"{list(variable.shape)}"
            )
        variable.assign(array)
        missing.remove(f"{name}/{variable.name}")
    if missing:
        listed = shortened(", ".join(sorted(missing)), 80)
        raise SourceError(f"{file} lists no weights for {len(missing)} variables of its topology: {listed}")


def _leaves(network: Any, file: Path) -> dict[str, Any]:
    """The layers with weights of a network and of the networks in it, by their names."""
    found: dict[str, Any] = {}
    for layer in network.layers:
        inner = _leaves(layer, file) if isinstance(layer, keras.Model) else {layer.name: layer} if layer.weights else {}
        for name, each in inner.items():
            if found.setdefault(name, each) is not each:
                raise SourceError(f"{file} has two layers named {quoted(name)}; which weights are whose is not certain")
    return found


def _variable(key: str, layers: Mapping[str, Any]) -> tuple[str, Any]:
    """The layer's name and the variable of an array named `[scope/]layer[/cell]/weight`; None for an unknown one.

    The names of layers hold no slash any more (see `keras2.modernised`).
    """
    *path, own = key.split("/")
    name = next((each for each in ("_".join(path), *reversed(path)) if each in layers), "")
    if not name:
        return "", None
    own = _RENAMED.get((type(layers[name]).__name__, own), own)
    return name, next((each for each in layers[name].weights if each.name == own), None)
