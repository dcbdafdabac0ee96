"""A stranger's Keras file, opened without running what it brings: .keras or .h5, configuration and arrays alone."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import keras

from model.training.errors import SourceError
from model.training.importing.unpacking import allowed_bytes, check_h5, check_zip, open_packed, parse_json

_CODE = "Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"
"""Layers that are code or lead to it."""

_READING = "IntegerLookup", "StringLookup", "TextVectorization"
"""Layers that read a vocabulary from a file that the configuration names."""

_SPARE = 1_000_000
"""Numbers that a network may have beyond twice those in its file, which need not hold the state of random numbers."""

_NPZ, _H5 = "model.weights.npz", "model.weights.h5"


def load_keras(path: Path) -> Any:
    """The keras.Model of a .keras or .h5 file, not compiled.

    Raises SourceError when it is none, is damaged, unpacks to too much, holds layers that are code or read files, or
    layers that this Keras has not.
    """
    configuration, numbers = _opened(path)
    _refuse_code(path, configuration)
    try:
        _check_size(path, numbers)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except SourceError:
        raise
    except Exception as exc:  # whatever a damaged or foreign file makes Keras raise: dozens of kinds
        raise SourceError(f"{path} cannot be loaded: {_first_line(exc)}; it must hold Keras' own layers alone") from exc


def _refuse_code(path: Path, configuration: Any) -> None:
    """Before Keras sees the file: its own safe mode does not look into every form."""
    for layer in _classes(configuration):
        if layer in _CODE + _READING:
            does = "runs code that comes with the file" if layer in _CODE else "reads a file that the model names"
            raise SourceError(
                f"{path} holds a {layer} layer, which {does}; it is not loaded. "
                "Save the model with Keras' own layers in its place"
            )


def _opened(path: Path) -> tuple[Any, int]:
    """The configuration, and how many numbers there are for its weights."""
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
            return parse_json(file.attrs["model_config"], f"model_config of {path}"), numbers
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
        # Of these, NotImplementedError and RuntimeError are what zipfile says of other methods and of passwords.
        raise SourceError(f"{path} is not a Keras model: {_first_line(exc)}") from exc


def _numbers(file: zipfile.ZipFile, path: Path) -> int:
    if _NPZ in file.namelist():  # 4 bytes a number, or 2 of half precision
        return file.getinfo(_NPZ).file_size // 2
    return check_h5(open_packed(file, _H5), path, allowed_bytes(path.stat().st_size))


def _check_size(path: Path, numbers: int) -> None:
    """Load the file without memory for the network's numbers: a line of configuration can ask for any amount of it.

    What Keras refuses now it would refuse later.
    """
    with keras.StatelessScope(initialize_variables=False):
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    wanted = sum(math.prod(variable.shape) for variable in network.variables)
    if wanted > 2 * numbers + _SPARE:
        raise SourceError(
            f"{path} describes a network of {wanted:,} numbers and holds {numbers:,}; it must hold them all"
        )


def _classes(configuration: Any) -> set[str]:
    """Every class that a configuration names, however deep."""
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
