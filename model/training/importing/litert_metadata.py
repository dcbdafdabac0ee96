"""Reads the metadata of a .tflite file: how its pixels are normalised, and its labels.

The metadata are a FlatBuffer inside the file, and the labels are in a zip that is appended to it. The field numbers are
those of metadata_schema.fbs of the TensorFlow Lite Support library. The file is untrusted.
"""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as lite
from flatbuffers import number_types
from flatbuffers.table import Table

from model.text import printable, reason
from model.training.errors import SourceError
from model.training.importing.label_file import parse_label_file
from model.training.importing.unpacking import MAX_TEXT, check_zip

_NAME, _IDENTIFIER = b"TFLITE_METADATA", b"M001"

# Field numbers.
_MODEL_SUBGRAPHS, _GRAPH_INPUTS, _GRAPH_OUTPUTS = 3, 2, 3
_TENSOR_UNITS, _TENSOR_FILES = 4, 6
_FILE_NAME, _FILE_TYPE, _FILE_LOCALE = 0, 2, 3
_UNIT_TYPE, _UNIT, _MEAN, _STD = 0, 1, 0, 1

# Values of the kinds of units and files.
_NORMALISATION, _CALIBRATION, _AXIS_LABELS = 1, 2, 2

# Entries of a list that are read.
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Metadata:
    """`pixels`: factor and offset for pixels 0..255, one number or one for each channel, None when the file does not
    say them. `labels`: None when the file holds none."""

    pixels: tuple[Any, Any] | None = None
    labels: tuple[str, ...] | None = None


def read_metadata(path: Path, output: int = 0) -> Metadata:
    """The metadata of a file, with the labels of its output at this place. Raises SourceError when they are damaged."""
    try:
        graph = _graph(path.read_bytes())
        if graph is None:
            return Metadata()
        inputs, outputs = _tables(graph, _GRAPH_INPUTS), _tables(graph, _GRAPH_OUTPUTS)
        scores = outputs[output] if output < len(outputs) else None
        if scores and _units(scores, _CALIBRATION):
            text = f"{path}: its metadata name a calibration of the scores, which is not applied"
            print(printable(text), file=sys.stderr, flush=True)
        return Metadata(_pixels(inputs[0]) if len(inputs) == 1 else None, _labels(path, scores) if scores else None)
    except SourceError:
        raise
    except (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError) as exc:
        raise SourceError(f"the metadata of {path} are damaged: {reason(exc)}") from exc


def _graph(data: bytes) -> Table | None:
    """The metadata of the file's first graph; None without metadata."""
    model = lite.Model.GetRootAs(data, 0)
    for number in range(min(model.MetadataLength(), _MOST)):
        entry = model.Metadata(number)
        if entry.Name() == _NAME:
            found = model.Buffers(entry.Buffer()).DataAsNumpy()
            content = found.tobytes() if isinstance(found, np.ndarray) else b""
            if content[4:8] != _IDENTIFIER:
                raise ValueError("they begin with another identifier than M001")
            root = Table(content, struct.unpack_from("<I", content)[0])
            graphs = _tables(root, _MODEL_SUBGRAPHS)
            return graphs[0] if graphs else None
    return None


def _pixels(tensor: Table) -> tuple[Any, Any] | None:
    """(pixel - mean) / std as a factor and an offset."""
    units = _units(tensor, _NORMALISATION)
    if not units:
        return None
    mean, std = (_floats(units[0], field) for field in (_MEAN, _STD))
    if len(mean) != len(std) or len(mean) not in (1, 3) or not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise ValueError(f"mean is {mean} and std is {std}; they must be one number or three, and std above 0")
    factor, offset = [1 / each for each in std], [-m / s for m, s in zip(mean, std, strict=True)]
    return (factor, offset) if len(mean) == 3 else (factor[0], offset[0])


def _labels(path: Path, tensor: Table) -> tuple[str, ...] | None:
    """The labels of an output: of its first file, as the schema says, or of the one without a language."""
    files = [each for each in _tables(tensor, _TENSOR_FILES) if _byte(each, _FILE_TYPE) == _AXIS_LABELS]
    files.sort(key=lambda each: bool(_text(each, _FILE_LOCALE)))
    if not files:
        return None
    name = _text(files[0], _FILE_NAME)
    try:
        with zipfile.ZipFile(path) as packed:
            check_zip(packed, path)
            if packed.getinfo(name).file_size > MAX_TEXT:
                raise SourceError(f"{path}: {name} has more than {MAX_TEXT:,} bytes, the limit for labels")
            return parse_label_file(packed.read(name), path / name)
    except (zipfile.BadZipFile, KeyError, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise ValueError(f"they name the labels {name!r}, which the file does not hold") from None


def _units(tensor: Table, kind: int) -> list[Table]:
    """The process units of a kind."""
    return [
        Table(unit.Bytes, unit.Indirect(unit.Pos + place))
        for unit in _tables(tensor, _TENSOR_UNITS)
        if _byte(unit, _UNIT_TYPE) == kind and (place := _field(unit, _UNIT))
    ]


def _field(table: Table, number: int) -> int:
    """The offset of a field in its table; 0 when the table lacks it."""
    return int(table.Offset(4 + 2 * number))


def _byte(table: Table, number: int) -> int:
    place = _field(table, number)
    return int(table.Get(number_types.Uint8Flags, table.Pos + place)) if place else 0


def _text(table: Table, number: int) -> str:
    place = _field(table, number)
    return str(table.String(table.Pos + place).decode("utf-8")) if place else ""


def _floats(table: Table, number: int) -> Sequence[float]:
    place = _field(table, number)
    count = min(table.VectorLen(place), _MOST) if place else 0
    return [float(table.Get(number_types.Float32Flags, table.Vector(place) + 4 * each)) for each in range(count)]


def _tables(table: Table, number: int) -> list[Table]:
    place = _field(table, number)
    count = min(table.VectorLen(place), _MOST) if place else 0
    return [Table(table.Bytes, table.Indirect(table.Vector(place) + 4 * each)) for each in range(count)]
