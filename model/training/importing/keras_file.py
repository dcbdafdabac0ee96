"""The files in which Keras saves models, a zip (.keras) or HDF5 (.h5, .hdf5): their bytes say which, not their names.

The files are untrusted. Only their configuration is read here; safe_keras.py loads them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from model.text import reason
from model.training.errors import SourceError
from model.training.importing.unpacking import allowed_bytes, check_h5, check_zip, open_packed, parse_json

# The first bytes of a file, and the suffix by which Keras knows its format.
_FORMATS = {b"PK\x03\x04": ".keras", b"\x89HDF\r\n\x1a\n": ".h5"}
SUFFIXES = ".keras", ".h5", ".hdf5"

_CONFIG, _METADATA, _NPZ, _H5 = "config.json", "metadata.json", "model.weights.npz", "model.weights.h5"


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A checked file: its format as Keras' suffix, its configuration, the configuration of its loss and optimizer (None
    when it has none), the count of numbers that it holds for weights, and the version of the Keras that saved it (empty
    when the file does not say it)."""

    path: Path
    suffix: str
    configuration: Any
    compiled: Any
    numbers: int
    version: str


def keras_suffix(path: Path) -> str:
    """The suffix of the format of a file's bytes, or an empty string for a file that is neither a zip nor HDF5."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(8)
    return next((suffix for magic, suffix in _FORMATS.items() if head.startswith(magic)), "")


def open_keras(path: Path) -> KerasFile:
    """Read the configuration of a model's file. Raises SourceError when the file is none, damaged or too large."""
    try:
        suffix = keras_suffix(path)
        if not suffix and path.exists():
            raise SourceError(f"{path} is not a Keras model: it is neither a zip (.keras) nor HDF5 (.h5)")
        return _open_zip(path) if suffix == ".keras" else _open_h5(path)
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
        raise SourceError(f"{path} is not a Keras model: {reason(exc)}") from exc


@contextmanager
def loadable(file: KerasFile, configuration: Any) -> Iterator[Path]:
    """The path of a file that Keras loads with this configuration: the file itself, or a temporary copy of it."""
    if configuration == file.configuration and file.path.suffix == file.suffix:
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="keras-") as folder:
        copy = Path(folder, f"model{file.suffix}")
        (_copy_zip if file.suffix == ".keras" else _copy_h5)(file.path, copy, json.dumps(configuration))
        yield copy


def _open_zip(path: Path) -> KerasFile:
    with zipfile.ZipFile(path) as file:
        check_zip(file, path)
        names = file.namelist()
        if _CONFIG not in names:
            raise SourceError(f"{path} is not a Keras model: the zip holds no {_CONFIG}")
        configuration = parse_json(file.read(_CONFIG), f"{_CONFIG} of {path}")
        metadata = parse_json(file.read(_METADATA), f"{_METADATA} of {path}") if _METADATA in names else {}
        if _NPZ in names:  # a number takes 4 bytes, or 2 in half precision
            numbers = file.getinfo(_NPZ).file_size // 2
        else:
            numbers = check_h5(open_packed(file, _H5), path, allowed_bytes(path.stat().st_size))
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    compiled = configuration.get("compile_config") if isinstance(configuration, dict) else None
    return KerasFile(path, ".keras", configuration, compiled, numbers, _version(version))


def _open_h5(path: Path) -> KerasFile:
    numbers = check_h5(path, path, allowed_bytes(path.stat().st_size))
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise SourceError(f"{path} holds weights and no model; import an architecture with --weights {path}")
        configuration = parse_json(file.attrs["model_config"], f"model_config of {path}")
        compiled = parse_json(file.attrs.get("training_config", "null"), f"training_config of {path}")
        return KerasFile(path, ".h5", configuration, compiled, numbers, _version(file.attrs.get("keras_version")))


def _version(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text[:20] if isinstance(text, str) and text.isprintable() else ""


def _copy_zip(path: Path, copy: Path, configuration: str) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for part in old.infolist():
            if part.filename == _CONFIG:
                new.writestr(_CONFIG, configuration)
            elif not part.is_dir():
                with old.open(part) as source, new.open(part.filename, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target)


def _copy_h5(path: Path, copy: Path, configuration: str) -> None:
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = configuration
