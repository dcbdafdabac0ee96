"""Loads an untrusted .keras or .h5 file without running its code: only its configuration and its arrays are read."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import keras

from model.training.errors import SourceError
from model.training.importing.keras_ends import loss_meaning
from model.training.importing.unpacking import allowed_bytes, check_h5, check_zip, open_packed, parse_json

# Layers that hold code or load it.
_CODE = "Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"

# Layers that read a vocabulary from a file that the configuration names.
_READING = "IntegerLookup", "StringLookup", "TextVectorization"

# Numbers that a network may have beyond twice those in its file, for states of random number generators.
_SPARE = 1_000_000

# Key of the optimizer and the loss in a configuration.
_COMPILED = "compile_config"

_NPZ, _H5 = "model.weights.npz", "model.weights.h5"


def load_keras(path: Path) -> Any:
    """Load the keras.Model of a .keras or .h5 file, without compiling it (see `load_with_loss`)."""
    return load_with_loss(path)[0]


def load_with_loss(path: Path) -> tuple[Any, str]:
    """Load the keras.Model of a .keras or .h5 file, without compiling it, and what its loss says about its outputs.

    Raises SourceError when the file is not a Keras model, is damaged, unpacks to too much, or holds layers that run
    code, read files or are unknown to this Keras.
    """
    configuration, numbers = _opened(path)
    _refuse_code(path, configuration)
    try:
        _check_size(path, numbers)
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
        return network, loss_meaning(configuration.get(_COMPILED))
    except SourceError:
        raise
    except Exception as exc:  # Keras raises dozens of kinds for a damaged or foreign file
        raise SourceError(f"{path} cannot be loaded: {_first_line(exc)}; it must hold only Keras' own layers") from exc


def _refuse_code(path: Path, configuration: Any) -> None:
    """Reject such layers before Keras reads the file, because Keras' safe mode does not check every format."""
    for layer in _classes(configuration):
        if layer in _CODE + _READING:
            does = "runs code that comes with the file" if layer in _CODE else "reads a file that the model names"
            raise SourceError(
                f"{path} holds a {layer} layer, which {does}; it is not loaded. Replace it by Keras' own layers"
            )


def _opened(path: Path) -> tuple[Any, int]:
    """The configuration, and the count of numbers that the file holds for weights."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as file:
                check_zip(file, path)
                configuration = parse_json(file.read("config.json"), f"config.json of {path}")
                return configuration, _numbers(file, path)
        numbers = check_h5(path, path, allowed_bytes(path.stat().st_size))
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise SourceError(f"{path} holds weights and no model; import an architecture with --weights {path}")
            network = parse_json(file.attrs["model_config"], f"model_config of {path}")
            compiled = parse_json(file.attrs.get("training_config", "null"), f"training_config of {path}")
            return {"config": network, _COMPILED: compiled}, numbers
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist") from None
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        KeyError,
        ValueError,
    ) as exc:
        # zipfile raises NotImplementedError for unknown compression methods and RuntimeError for encrypted files.
        raise SourceError(f"{path} is not a Keras model: {_first_line(exc)}") from exc


def _numbers(file: zipfile.ZipFile, path: Path) -> int:
    if _NPZ in file.namelist():  # a number takes 4 bytes, or 2 in half precision
        return file.getinfo(_NPZ).file_size // 2
    return check_h5(open_packed(file, _H5), path, allowed_bytes(path.stat().st_size))


def _check_size(path: Path, numbers: int) -> None:
    """Build the network without allocating its numbers, because a line of configuration can ask for any amount.

    Errors of Keras while building pass through.
    """
    with keras.StatelessScope(initialize_variables=False):
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    wanted = sum(math.prod(variable.shape) for variable in network.variables)
    if wanted > 2 * numbers + _SPARE:
        raise SourceError(
            f"{path} describes a network of {wanted:,} numbers and holds {numbers:,}; it must hold them all"
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


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n")[0].rstrip(".") or type(exc).__name__
