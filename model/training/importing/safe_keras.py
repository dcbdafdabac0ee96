"""Loads an untrusted .keras or .h5 file without running its code: only its configuration and its arrays are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras

from model.text import reason
from model.training.errors import SourceError
from model.training.importing.keras2 import OPERATIONS, in_full_precision, modernised, other_function
from model.training.importing.keras_ends import loss_meaning
from model.training.importing.keras_file import KerasFile, loadable, open_keras

# Layers that hold code or load it.
_CODE = "Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"

# Layers that read a vocabulary from a file that the configuration names.
_READING = "IntegerLookup", "StringLookup", "TextVectorization"

# The version of files that TensorFlow.js saved, in the form of Keras 2.
JAVASCRIPT = "2.TensorFlow.js"

# Numbers that a network may have beyond twice those in its file, for states of random number generators.
_SPARE = 1_000_000


def load_keras(path: Path) -> Any:
    """Load the keras.Model of a .keras or .h5 file, without compiling it (see `load_with_loss`)."""
    return load_with_loss(path)[0]


def load_with_loss(path: Path) -> tuple[Any, str]:
    """Load the keras.Model of a .keras or .h5 file, without compiling it, and what its loss says about its outputs.

    The bytes of the file tell its format, not its name.

    Raises SourceError when the file is not a Keras model, is damaged, unpacks to too much, or holds layers that run
    code, read files or are unknown to this Keras.
    """
    file = open_keras(path)
    with loadable(file, safe_configuration(file)) as copy:
        load = partial(keras.saving.load_model, copy, compile=False, safe_mode=True)
        return build(file, load), loss_meaning(file.compiled)


def safe_configuration(file: KerasFile) -> Any:
    """The configuration that this Keras reads, with all layers in float32. Raises SourceError when it holds layers that
    run code, read files or calculate something else in this Keras."""
    _refuse_code(file.path, file.configuration)
    _refuse_operations(file)
    try:
        return in_full_precision(modernised(file.configuration) if _is_older(file) else file.configuration)
    except RecursionError:
        raise SourceError(f"{file.path} cannot be loaded: its configuration is nested too deeply") from None


def build(file: KerasFile, load: Callable[[], Any]) -> Any:
    """The network that `load` makes of a safe configuration. Raises SourceError when Keras refuses it, and when it has
    many more numbers than the file."""
    try:
        _check_size(file, load)
        return load()
    except SourceError:
        raise
    except Exception as exc:  # Keras raises dozens of kinds for a damaged or foreign file
        raise SourceError(f"{file.path} cannot be loaded: {_innermost(exc)}; {_remedy(file)}") from exc


def _refuse_code(path: Path, configuration: Any) -> None:
    """Reject such layers before Keras reads the file, because Keras' safe mode does not check every format."""
    for layer in _classes(configuration):
        if layer in _CODE + _READING:
            does = "runs code that comes with the file" if layer in _CODE else "reads a file that the model names"
            raise SourceError(
                f"{path} holds a {layer} layer, which {does}; it is not loaded. Replace it by Keras' own layers"
            )


def _refuse_operations(file: KerasFile) -> None:
    """Reject TensorFlow's functions as layers, which only Keras 2 has, before Keras calls them unknown classes, and
    functions that Keras 2 calculates differently."""
    if found := sorted(_classes(file.configuration) & set(OPERATIONS)):
        raise SourceError(f"{file.path} holds a {found[0]} layer, a function of TensorFlow; {_remedy(file)}")
    if _is_older(file) and (other := other_function(file.configuration)):
        raise SourceError(f"{file.path} uses {other}, which is another function in this Keras; {_remedy(file)}")


def _innermost(exc: Exception) -> str:
    """The reason of an error of Keras, which repeats the whole configuration around it, once for each level."""
    *_, last = str(exc).split("Exception encountered: ")
    return reason(ValueError(last))


def _is_older(file: KerasFile) -> bool:
    return file.version.startswith(("1.", "2."))


def _remedy(file: KerasFile) -> str:
    if not _is_older(file):
        return "it must hold only Keras' own layers"
    if file.version == JAVASCRIPT:
        return f"TensorFlow.js saved it, whose layers Keras {keras.__version__} reads only in part"
    return (
        f"Keras {file.version} saved it, which Keras {keras.__version__} reads only in part: with that Keras, save it "
        "by tf.saved_model.save(model, 'folder') and import the folder"
    )


def _check_size(file: KerasFile, load: Callable[[], Any]) -> None:
    """Build the network without allocating its numbers, because a line of configuration can ask for any amount.

    Errors of Keras while building pass through.
    """
    with keras.StatelessScope(initialize_variables=False):
        network = load()
    wanted = sum(math.prod(variable.shape) for variable in network.variables)
    if wanted > 2 * file.numbers + _SPARE:
        raise SourceError(
            f"{file.path} describes a network of {wanted:,} numbers and holds {file.numbers:,}; it must hold them all"
        )


def _classes(configuration: Any) -> set[str]:
    """The classes that a configuration names, at any depth."""
    found: set[str] = set()
    waiting = [configuration]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("class_name"), str):
                found.add(node["class_name"])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found
