"""Avro schemas (Apache Avro 1.11 specification): read from JSON, and whether a message fits one, in JSON or binary."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_PRIMITIVE = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_BITS = {"int": 31, "long": 63}
_DEPTH = 64


class BadSchema(ValueError):
    """The definition is no Avro schema; the message says why."""


class Unfit(ValueError):
    """A message does not fit the schema; the message says where."""


class Avro:
    """One schema; BadSchema when the definition is none."""

    def __init__(self, definition: str) -> None:
        self._names: dict[str, Any] = {}
        try:
            self._root = self._read(json.loads(definition), "", 0)
        except (json.JSONDecodeError, RecursionError) as exc:
            raise BadSchema(f"the definition is no JSON: {exc}") from exc

    def check_json(self, data: bytes) -> None:
        """Raise Unfit when the data is not this schema's JSON encoding."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise Unfit(f"it is no JSON: {exc}") from exc
        self._json(self._root, value, "the message", 0)

    def check_binary(self, data: bytes) -> None:
        """Raise Unfit when the data is not exactly one value in this schema's binary encoding."""
        reader = _Reader(data)
        self._binary(self._root, reader, 0)
        if reader.at != len(data):
            raise Unfit(f"{len(data) - reader.at} bytes are left over at its end")

    def _read(self, raw: Any, space: str, depth: int) -> Any:
        """A checked schema: (kind, details), or a name to be looked up."""
        if depth > _DEPTH:
            raise BadSchema(f"it is nested deeper than {_DEPTH}")
        if isinstance(raw, str):
            if raw in _PRIMITIVE:
                return (raw, None)
            full = raw if "." in raw or not space else f"{space}.{raw}"
            if full not in self._names:
                raise BadSchema(f"type {raw!r} is not known")
            return ("name", full)
        if isinstance(raw, list):
            return self._union(raw, space, depth)
        if not isinstance(raw, dict) or "type" not in raw:
            raise BadSchema(f"{raw!r} has no type")
        kind = raw["type"]
        if kind == "array" or kind == "map":
            key = "items" if kind == "array" else "values"
            if key not in raw:
                raise BadSchema(f"a type {kind} has no {key}")
            return (kind, self._read(raw[key], space, depth + 1))
        if kind in ("record", "enum", "fixed"):
            return self._named(raw, kind, space, depth)
        return self._read(kind, space, depth + 1)

    def _union(self, raw: list[Any], space: str, depth: int) -> Any:
        branches = [self._read(each, space, depth + 1) for each in raw]
        labels = [_label(each) for each in branches]
        if not branches or len(set(labels)) < len(labels) or "union" in labels:
            raise BadSchema(f"a union of {', '.join(labels) or 'nothing'}; its types must differ, and be no unions")
        return ("union", branches)

    def _named(self, raw: dict[str, Any], kind: str, space: str, depth: int) -> Any:
        name, space = raw.get("name"), raw.get("namespace", space)
        if not isinstance(name, str) or not _FULL_NAME.fullmatch(name) or not isinstance(space, str):
            raise BadSchema(f"a {kind} has the name {name!r}")
        full = name if "." in name or not space else f"{space}.{name}"
        if full in self._names or full in _PRIMITIVE:
            raise BadSchema(f"the name {full} is taken")
        details: Any = {} if kind == "record" else None
        self._names[full] = (kind, details)  # before its fields, which may name it
        if kind == "record":
            self._fields(raw, full, details, depth)
        elif kind == "enum":
            details = raw.get("symbols")
            if not isinstance(details, list) or not all(_is_name(each) for each in details):
                raise BadSchema(f"enum {full} has the symbols {details!r}")
        else:
            details = raw.get("size")
            if not isinstance(details, int) or isinstance(details, bool) or details < 0:
                raise BadSchema(f"fixed {full} has the size {details!r}")
        self._names[full] = (kind, details)
        return ("name", full)

    def _fields(self, raw: dict[str, Any], full: str, details: dict[str, Any], depth: int) -> None:
        fields = raw.get("fields")
        if not isinstance(fields, list):
            raise BadSchema(f"record {full} has no list of fields")
        for field in fields:
            name = field.get("name") if isinstance(field, dict) else None
            if not _is_name(name) or name in details or "type" not in field:
                raise BadSchema(f"record {full} has a field that is wrong or there twice: {field!r}")
            details[str(name)] = self._read(field["type"], full.rpartition(".")[0], depth + 1)

    def _json(self, schema: Any, value: Any, where: str, depth: int) -> None:
        kind, details = self._names[schema[1]] if schema[0] == "name" else schema
        if depth > _DEPTH:
            raise Unfit(f"{where} is nested deeper than {_DEPTH}")
        if kind == "union":
            self._json_union(details, value, where, depth)
        elif kind == "record" and isinstance(value, dict):
            if value.keys() != details.keys():
                raise Unfit(f"{where} has the fields {sorted(value)}; wanted are {sorted(details)}")
            for name, each in details.items():
                self._json(each, value[name], f"{where}.{name}", depth + 1)
        elif kind == "array" and isinstance(value, list):
            for number, each in enumerate(value):
                self._json(details, each, f"{where}[{number}]", depth + 1)
        elif kind == "map" and isinstance(value, dict):
            for name, each in value.items():
                self._json(details, each, f"{where}.{name}", depth + 1)
        elif not _scalar(kind, details, value):
            raise Unfit(f"{where} is {json.dumps(value)[:80]}; it must be of type {kind}")

    def _json_union(self, branches: list[Any], value: Any, where: str, depth: int) -> None:
        """In JSON a union's value is null, or an object of one member named as its type."""
        labels = {_label(each): each for each in branches}
        if value is None and "null" in labels:
            return
        if not isinstance(value, dict) or len(value) != 1 or (label := next(iter(value))) not in labels:
            raise Unfit(f"{where} is a union; it must be null or an object such as {{{list(labels)[-1]!r}: value}}")
        self._json(labels[label], value[label], where, depth + 1)

    def _binary(self, schema: Any, reader: _Reader, depth: int) -> None:
        kind, details = self._names[schema[1]] if schema[0] == "name" else schema
        if depth > _DEPTH:
            raise Unfit(f"it is nested deeper than {_DEPTH}")
        if kind == "record":
            for each in details.values():
                self._binary(each, reader, depth + 1)
        elif kind == "union":
            self._binary(details[reader.index(len(details))], reader, depth + 1)
        elif kind in ("array", "map"):
            while count := reader.block():
                for _ in range(count):
                    before = reader.at
                    if kind == "map":
                        reader.text()
                    self._binary(details, reader, depth + 1)
                    if reader.at == before:  # items of no bytes: there may be as many as they say
                        break
        elif kind == "enum":
            reader.index(len(details))
        elif kind == "fixed":
            reader.skip(details)
        else:
            reader.primitive(kind)


class _Reader:
    """Reads binary Avro; Unfit when the bytes cannot be it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def skip(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self._data):
            raise Unfit(f"it ends at byte {len(self._data)}, in the middle of a value")
        self.at += count
        return self._data[self.at - count : self.at]

    def number(self, bits: int = 63) -> int:
        """A variable-length zig-zag number."""
        value = shift = 0
        while True:
            byte = self.skip(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 63:
                raise Unfit(f"the number at byte {self.at} is too long")
        value = (value >> 1) ^ -(value & 1)
        if not -(2**bits) <= value < 2**bits:
            raise Unfit(f"the number {value} is too large")
        return value

    def index(self, count: int) -> int:
        value = self.number()
        if not 0 <= value < count:
            raise Unfit(f"{value} is no choice of a union or enum with {count}")
        return value

    def block(self) -> int:
        count = self.number()
        if count < 0:  # followed by its size in bytes
            self.number()
        return abs(count)

    def text(self) -> None:
        try:
            self.skip(self.number()).decode()
        except UnicodeDecodeError as exc:
            raise Unfit(f"a string is no UTF-8: {exc}") from exc

    def primitive(self, kind: str) -> None:
        if kind in _BITS:
            self.number(_BITS[kind])
        elif kind == "boolean":
            if self.skip(1) > b"\x01":
                raise Unfit("a boolean is neither 0 nor 1")
        elif kind == "string":
            self.text()
        elif kind == "bytes":
            self.skip(self.number())
        else:
            self.skip({"null": 0, "float": 4, "double": 8}[kind])


def _scalar(kind: str, details: Any, value: Any) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in _BITS:
        bits = _BITS[kind]
        return isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits
    if kind in ("float", "double"):
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not isinstance(value, str):
        return False
    if kind == "enum":
        return value in details
    if kind == "string":
        return True
    bytes_like = kind in ("bytes", "fixed") and all(ord(each) < 256 for each in value)
    return bytes_like and (kind == "bytes" or len(value) == details)


def _label(schema: Any) -> str:
    return str(schema[1] if schema[0] == "name" else schema[0])


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))
