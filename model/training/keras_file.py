"""A stranger's Keras file, opened without running what it brings: .keras or .h5, configuration and arrays alone."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras

from model.training.errors import SourceError

_CODE = "Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"
"""Layers that are code or lead to it."""


def load_keras(path: Path) -> Any:
    """The keras.Model of a .keras or .h5 file, not compiled.

    Raises SourceError when it is none, is damaged, holds layers that are code, or layers that this Keras has not.
    """
    _refuse_code(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as exc:  # whatever a damaged or foreign file makes Keras raise: dozens of kinds
        raise SourceError(f"{path} cannot be loaded: {_first_line(exc)}; it must hold Keras' own layers alone") from exc


def _refuse_code(path: Path) -> None:
    """Before Keras sees the file: its own safe mode does not look into every form."""
    for layer in _classes(_configuration(path)):
        if layer in _CODE:
            raise SourceError(
                f"{path} holds a {layer} layer, which runs code that comes with the file; it is not loaded. "
                "Save the model with Keras' own layers in its place"
            )


def _configuration(path: Path) -> Any:
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as file:
                return json.loads(file.read("config.json"))
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise SourceError(f"{path} holds weights and no model; import an architecture with --weights {path}")
            return json.loads(file.attrs["model_config"])
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist") from None
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as exc:
        raise SourceError(f"{path} is not a Keras model: {_first_line(exc)}") from exc


def _classes(node: Any) -> set[str]:
    """Every class that a configuration names."""
    if isinstance(node, dict):
        own = {node["class_name"]} if isinstance(node.get("class_name"), str) else set()
        return own.union(*map(_classes, node.values()))
    return set().union(*map(_classes, node)) if isinstance(node, list) else set()


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n")[0].rstrip(".") or type(exc).__name__
