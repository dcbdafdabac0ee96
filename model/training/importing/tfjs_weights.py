"""Reads the weights of TensorFlow.js models: groups of arrays, each group one sequence of bytes in one or more files.

The manifest is a part of model.json; its format is that of tfjs-core's io/types.ts. The files are untrusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from model.text import quoted, reason, shortened
from model.training.errors import SourceError
from model.training.importing.unpacking import MAX_PARTS, MAX_UNPACKED

# Types of arrays, and types that arrays of float32 and int32 are quantised to, as they lie in the files.
_TYPES = {"float32": "<f4", "int32": "<i4", "bool": "?"}
_QUANTISED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}

# Characters of a list of files in a message.
_MAX_NAMES = 160


@dataclass(frozen=True, slots=True)
class _Weight:
    """An entry of the manifest. `stored`: its numpy type in the file. `scale` and `least` are those of whole numbers,
    None for others."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    scale: float | None
    least: float | None

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.stored).itemsize

    def read(self, data: bytes, start: int) -> Any:
        """The array, in its own type, of bytes that begin at `start`."""
        array = np.frombuffer(data, self.stored, math.prod(self.shape), start).reshape(self.shape)
        if self.scale is not None and self.least is not None:
            array = array.astype(np.float64) * self.scale + self.least
            array = np.rint(array) if self.dtype == "int32" else array
        return array.astype(self.dtype)


def read_weights(manifest: Any, file: Path) -> dict[str, Any]:
    """The arrays of a manifest by their names; `file` is the model.json, and the weights are in its folder.

    Raises SourceError when the manifest is malformed, and when a file is missing, too short, too long or elsewhere.
    """
    found: dict[str, Any] = {}
    for place, group in enumerate(_list(manifest, "weightsManifest", file)):
        where = f"weightsManifest[{place}]"
        group = group if isinstance(group, Mapping) else {}
        names = _list(group.get("paths"), f"{where}.paths", file)
        entries = _list(group.get("weights"), f"{where}.weights", file)
        weights = [_weight(entry, f"{where}.weights[{number}]", file) for number, entry in enumerate(entries)]
        data, start = _read_files(names, sum(weight.size_bytes for weight in weights), file), 0
        for weight in weights:
            if weight.name in found:
                raise SourceError(f"{file} lists the weights {quoted(weight.name)} more than once")
            try:
                found[weight.name] = weight.read(data, start)
            except (ValueError, OverflowError) as exc:  # a shape that numpy cannot make
                raise SourceError(f"{file}: the weights {quoted(weight.name)} cannot be read: {reason(exc)}") from exc
            start += weight.size_bytes
    return found


def _list(value: Any, where: str, file: Path) -> list[Any]:
    if not isinstance(value, list):
        raise SourceError(f"{file}: {where} is {quoted(value)}; it must be a list")
    if len(value) > MAX_PARTS:
        raise SourceError(f"{file}: {where} has {len(value):,} entries; at most {MAX_PARTS:,} are allowed")
    return value


def _weight(entry: Any, where: str, file: Path) -> _Weight:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise SourceError(f"{file}: {where} is {quoted(entry)}; it must be an object with a name")
    name, shape, dtype, quantised = entry["name"], entry.get("shape"), entry.get("dtype"), entry.get("quantization")
    where = f"{file}: {where} ({quoted(name)})"
    if not isinstance(shape, list) or not all(type(edge) is int and edge >= 0 for edge in shape):
        raise SourceError(f"{where} has the shape {quoted(shape)}; it must be a list of whole numbers from 0")
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise SourceError(f"{where} has the dtype {quoted(dtype)}; it must be one of {', '.join(_TYPES)}")
    if quantised is None:
        return _Weight(name, tuple(shape), dtype, _TYPES[dtype], None, None)
    stored = quantised.get("dtype") if isinstance(quantised, Mapping) else None
    if not isinstance(stored, str) or stored not in _QUANTISED:
        raise SourceError(
            f"{where} is quantised to {quoted(stored)}; the quantization's dtype must be one of {', '.join(_QUANTISED)}"
        )
    if stored == "float16":
        return _Weight(name, tuple(shape), dtype, _QUANTISED[stored], None, None)
    scale, least = (_number(quantised.get(key), f"{where} has the {key}") for key in ("scale", "min"))
    return _Weight(name, tuple(shape), dtype, _QUANTISED[stored], scale, least)


def _number(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise SourceError(f"{what} {quoted(value)} for its quantization; it must be a finite number")
    return float(value)


def _read_files(names: Sequence[Any], needed: int, file: Path) -> bytes:
    """The bytes of a group's files, one after the other, which must be as many as its weights need."""
    paths = [_path(name, file) for name in names]
    try:
        sizes = [path.stat().st_size for path in paths]
        total = sum(sizes)
        if total != needed:
            listed = ", ".join(f"{name} ({size:,} bytes)" for name, size in zip(names, sizes, strict=True)) or "no file"
            what = "too short" if total < needed else "too long"
            raise SourceError(
                f"{file.parent} holds {total:,} bytes in {shortened(listed, _MAX_NAMES)}, and the weights that "
                f"{file.name} lists for them take {needed:,}: what is there is {what}"
            )
        if total > MAX_UNPACKED:
            raise SourceError(f"{file} lists {total:,} bytes of weights; at most {MAX_UNPACKED:,} are allowed")
        return b"".join(path.read_bytes() for path in paths)
    except OSError as exc:
        raise SourceError(f"the weights of {file} cannot be read: {reason(exc)}") from exc


def _path(name: Any, file: Path) -> Path:
    """The path of a file of weights, which must lie in the folder of the model."""
    if not isinstance(name, str) or not name:
        raise SourceError(f"{file} names the file of weights {quoted(name)}; it must be a name in its folder")
    parts = PurePosixPath(name)
    path = file.parent / parts
    if (
        "\0" in name
        or parts.is_absolute()
        or ".." in parts.parts
        or "\\" in name
        or ":" in name
        or _leads_out(path, file.parent)
    ):
        raise SourceError(f"{file} names the file of weights {quoted(name)}, which leads out of its folder")
    if not path.is_file():
        raise SourceError(f"{file} names the file of weights {quoted(name)}, which is missing in {file.parent}")
    return path


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether a path, with its symbolic links followed, is outside a folder."""
    return not path.resolve().is_relative_to(folder.resolve())
