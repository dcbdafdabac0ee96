"""Adds metadata to a .tflite file for tests, as TensorFlow Lite Support does: a FlatBuffer, and a zip at the end.

The field numbers are those of metadata_schema.fbs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as lite
from tensorflow.lite.tools import flatbuffer_utils


def add_metadata(
    path: Path,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    files: Mapping[str, tuple[str, str]] | None = None,
    outputs: int = 1,
) -> Path:
    """Add a normalisation and files of labels (text and locale by name) of each output."""
    content = describe(mean, std, {name: locale for name, (_, locale) in (files or {}).items()}, outputs)
    model = flatbuffer_utils.read_model(str(path))
    buffer, entry = lite.BufferT(), lite.MetadataT()
    buffer.data = list(content)
    model.buffers.append(buffer)
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or ()), entry]
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    if files:
        with zipfile.ZipFile(path, "a") as packed:
            for name, (text, _) in files.items():
                packed.writestr(name, text)
    return path


def describe(mean: Sequence[float], std: Sequence[float], labels: Mapping[str, str], outputs: int) -> bytes:
    """The metadata of a model with one input."""
    made = flatbuffers.Builder(256)
    units = [_normalisation(made, mean, std)] if mean else []
    given = _tensor(made, units, [])
    scores = [_tensor(made, [], [_file(made, *each) for each in labels.items()]) for _ in range(outputs)]
    lists = _list(made, [given]), _list(made, scores)
    graph = _table(made, 7, {2: lists[0], 3: lists[1]})
    graphs = _list(made, [graph])
    made.Finish(_table(made, 8, {3: graphs}), b"M001")
    return bytes(made.Output())


def _normalisation(made: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
    vectors = [_floats(made, values) for values in (mean, std)]
    options = _table(made, 2, {0: vectors[0], 1: vectors[1]})
    made.StartObject(2)
    made.PrependUint8Slot(0, 1, 0)
    made.PrependUOffsetTRelativeSlot(1, options, 0)
    return made.EndObject()


def _tensor(made: Any, units: Sequence[Any], files: Sequence[Any]) -> Any:
    lists = {number: _list(made, each) for number, each in ((4, units), (6, files)) if each}
    return _table(made, 7, lists)


def _file(made: Any, name: str, locale: str) -> Any:
    texts = {0: made.CreateString(name)} | ({3: made.CreateString(locale)} if locale else {})
    made.StartObject(4)
    for number, place in texts.items():
        made.PrependUOffsetTRelativeSlot(number, place, 0)
    made.PrependInt8Slot(2, 2, 0)
    return made.EndObject()


def _floats(made: Any, values: Sequence[float]) -> Any:
    made.StartVector(4, len(values), 4)
    for value in reversed(values):
        made.PrependFloat32(value)
    return made.EndVector()


def _list(made: Any, places: Sequence[Any]) -> Any:
    made.StartVector(4, len(places), 4)
    for place in reversed(places):
        made.PrependUOffsetTRelative(place)
    return made.EndVector()


def _table(made: Any, fields: int, places: Mapping[int, Any]) -> Any:
    made.StartObject(fields)
    for number, place in places.items():
        made.PrependUOffsetTRelativeSlot(number, place, 0)
    return made.EndObject()
