"""Loads weights from files into networks: .npz by name, Keras' .h5, .weights.h5 and .keras. It never unpickles."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from model.text import reason
from model.training.errors import SourceError
from model.training.importing.pytorch import refuse_by_name, refuse_pickle
from model.training.importing.safe_keras import load_keras
from model.training.importing.unpacking import allowed_bytes, check_h5, check_zip

_KINDS = ".npz, .h5, .hdf5, .weights.h5 or .keras"


def load_whole(network: Any, path: Path) -> None:
    """Load every weight of `network`. Raises SourceError, which names the first weight that does not fit."""
    if not path.is_file():
        raise SourceError(f"the weights {path} do not exist; they must be a file: {_KINDS}")
    refuse_pickle(path)
    if path.suffix == ".npz":
        _load_npz(network, path)
    elif path.suffix == ".keras":
        _copy(load_keras(path), network, path)
    elif path.suffix in (".h5", ".hdf5"):
        try:
            check_h5(path, path, allowed_bytes(path.stat().st_size))
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Keras only warns when layers keep their random weights
                network.load_weights(path)
        except (ValueError, OSError, KeyError, UserWarning) as exc:
            raise SourceError(f"the weights {path} do not fit {network.name}: {reason(exc)}") from exc
    else:
        refuse_by_name(path)
        raise SourceError(f"the weights are {path}; they must be a file: {_KINDS}")


def load_backbone(backbone: Any, path: Path, with_top: Callable[[], Any]) -> None:
    """Load a network without its top from the weights of one with or without a top; `with_top` builds the former."""
    if path.suffix == ".npz" or not path.is_file():
        return load_whole(backbone, path)
    try:
        load_whole(backbone, path)
    except SourceError:
        whole = with_top()
        load_whole(whole, path)
        _copy(whole, backbone, path)


def _copy(whole: Any, network: Any, path: Path) -> None:
    """Copy the first weights of `whole` into `network`; the weights of a top come last."""
    values = whole.get_weights()[: len(network.weights)]
    try:
        network.set_weights(values)
    except ValueError as exc:
        raise SourceError(f"the weights {path} do not fit {network.name}: {reason(exc)}") from exc


def _load_npz(network: Any, path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as packed:
            check_zip(packed, path)
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            for weight in network.weights:
                weight.assign(_find(file, weight, path))
    except (
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
    ) as exc:
        raise SourceError(f"the weights {path} are not an .npz file of plain arrays: {reason(exc)}") from exc


def _find(file: Any, weight: Any, path: Path) -> Any:
    """The array of a weight, by name. Before Keras 3 a depthwise convolution's kernel had another name."""
    for name in (weight.path, weight.path.replace("/kernel", "/depthwise_kernel")):
        if name in file:
            value = file[name]
            if value.shape != tuple(weight.shape):
                raise SourceError(
                    f"the weights {path}: {name} is {value.shape}; the network takes {tuple(weight.shape)}"
                )
            return value
    raise SourceError(f"the weights {path} lack {weight.path}; they must hold every weight by its name in Keras")
