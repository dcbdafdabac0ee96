"""Reads a .tflite file as data, before LiteRT loads it, and rejects operators that are not LiteRT's own.

Field numbers and operator codes are those of LiteRT's schema.fbs. The engine and the import run this check. It reads
only the table of operators, to keep the worker's start short.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from model.errors import ArtifactError

_Buffer = mmap.mmap

# Field numbers of the tables Model and OperatorCode.
_MODEL_OPERATORS, _OPERATOR_OLD_CODE, _OPERATOR_CUSTOM, _OPERATOR_CODE = 1, 0, 1, 3

# Field numbers of Model that name other files with weights.
_MODEL_EXTERNAL = 8, 9

# Operator codes that run code from outside LiteRT.
_FOREIGN = {32: "custom", 51: "delegate", 127: "placeholder", 173: "StableHLO custom call"}

# Codes of LiteRT's built-in operators. They compute in memory; none reads or writes a file.
BUILTIN = frozenset(range(210)) - _FOREIGN.keys()

# Entries of a model's operator table. LiteRT has about 200 operators, each in a few versions.
MAX_OPERATORS = 10_000


def check_lite(path: Path) -> None:
    """Raise ArtifactError unless all operators of the file are built in and all its weights are in the file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[4:8] != b"TFL3":
                raise ArtifactError(f"{path} is not a model that LiteRT can load: it is not a .tflite file")
            model = _indirect(data, 0)
            if any(_field(data, model, number) for number in _MODEL_EXTERNAL):
                raise ArtifactError(f"{path} keeps weights in other files; a served model must hold all its weights")
            for code, name in _operators(data, model):
                if code not in BUILTIN:
                    what = _FOREIGN.get(code, f"number {code}")
                    raise ArtifactError(
                        f"{path} runs the operator {name or what!r}, which is not built into LiteRT; convert the model "
                        "with built-in operators only"
                    )
    except (struct.error, ValueError):
        raise ArtifactError(f"{path} is not a model that LiteRT can load: it is truncated or damaged") from None


def _operators(data: _Buffer, model: int) -> Iterator[tuple[int, str]]:
    """Yield the code and the custom name of each operator in the model's table."""
    vector = _indirect(data, _field(data, model, _MODEL_OPERATORS))
    (count,) = struct.unpack_from("<I", data, vector)
    if count > MAX_OPERATORS:
        raise ValueError(f"{count} kinds of operators")
    for number in range(count):
        operator = _indirect(data, vector + 4 + 4 * number)
        old, new = _field(data, operator, _OPERATOR_OLD_CODE), _field(data, operator, _OPERATOR_CODE)
        codes = struct.unpack_from("<b", data, old) if old else (0,)
        codes += struct.unpack_from("<i", data, new) if new else (0,)
        custom = _field(data, operator, _OPERATOR_CUSTOM)
        yield max(codes), _string(data, custom) if custom else ""


def _string(data: _Buffer, place: int) -> str:
    start = _indirect(data, place)
    (length,) = struct.unpack_from("<I", data, start)
    return data[start + 4 : start + 4 + min(length, 80)].decode("utf-8", "replace")


def _indirect(data: _Buffer, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


def _field(data: _Buffer, table: int, number: int) -> int:
    """The offset of a table's field, 0 when the table lacks it (FlatBuffers' binary format)."""
    vtable = table - int(struct.unpack_from("<i", data, table)[0])
    (size,) = struct.unpack_from("<H", data, vtable)
    entry = 4 + 2 * number
    offset = int(struct.unpack_from("<H", data, vtable + entry)[0]) if entry < size else 0
    return table + offset if offset else 0
