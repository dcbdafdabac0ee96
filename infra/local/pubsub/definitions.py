"""Schema definitions. The libraries of Apache Avro and of protocol buffers parse them and check messages with them.

The libraries are imported with the first schema, because most twins have none.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message, message_factory


class InvalidDefinition(ValueError):
    """The text is not a schema definition; the message gives the reason."""


class SchemaMismatch(ValueError):
    """A message does not match its schema; the message says where."""


class Definition(Protocol):
    """Checks messages against a schema. Raises SchemaMismatch; `data` is JSON or the kind's binary encoding."""

    def check_json(self, data: bytes) -> None: ...
    def check_binary(self, data: bytes) -> None: ...


class Avro:
    """An Avro schema. Logical types are checked as their underlying types."""

    def __init__(self, text: str) -> None:
        from avro import errors, schema

        try:
            plain = json.loads(text, object_hook=lambda part: {k: v for k, v in part.items() if k != "logicalType"})
            self._schema: Any = schema.parse(json.dumps(plain))
        except (errors.AvroException, ValueError, RecursionError) as exc:
            raise InvalidDefinition(f"Invalid Avro schema: {_one_line(exc)}") from exc

    def check_json(self, data: bytes) -> None:
        try:
            value = json.loads(data, parse_constant=_no_number)
            self._validate(self._schema, _without_labels(self._schema, value, self._validate))
        except (ValueError, RecursionError) as exc:
            raise SchemaMismatch(_one_line(exc)) from exc

    def check_binary(self, data: bytes) -> None:
        from avro import errors
        from avro import io as binary

        rest = io.BytesIO(data)
        try:
            value = binary.DatumReader(self._schema).read(binary.BinaryDecoder(rest))
            self._validate(self._schema, value)
        except (errors.AvroException, ValueError, RecursionError) as exc:
            raise SchemaMismatch(_one_line(exc)) from exc
        if left := rest.read():
            raise SchemaMismatch(f"{len(left)} bytes are left at its end")

    def _validate(self, schema: Any, value: Any) -> None:
        from avro import errors
        from avro import io as binary

        try:
            binary.validate(schema, value, raise_on_error=True)
        except errors.AvroException as exc:
            raise SchemaMismatch(_one_line(exc)) from exc


def _without_labels(schema: Any, value: Any, validate: Any) -> Any:
    """Convert a JSON value to the library's form: unions without the names of their types, bytes as bytes.

    A value of the wrong type is left unchanged, and fails the validation.
    """
    kind = schema.type
    if isinstance(value, bool) and kind in (
        "int",
        "long",
        "float",
        "double",
    ):  # the library accepts it
        raise SchemaMismatch(f"{value} is not of the type {kind}")
    if kind == "record" and isinstance(value, dict):
        types = {field.name: field.type for field in schema.fields}
        if types.keys() != value.keys():
            raise SchemaMismatch(f"{schema.name} has the fields {sorted(value)}; it must have {sorted(types)}")
        return {name: _without_labels(types[name], each, validate) for name, each in value.items()}
    if kind == "array" and isinstance(value, list):
        return [_without_labels(schema.items, each, validate) for each in value]
    if kind == "map" and isinstance(value, dict):
        return {name: _without_labels(schema.values, each, validate) for name, each in value.items()}
    if kind in ("bytes", "fixed") and isinstance(value, str):
        return value.encode("latin-1")
    if kind == "union" and value is not None:
        branches = {getattr(each, "fullname", None) or each.type: each for each in schema.schemas}
        [label] = value if isinstance(value, dict) and len(value) == 1 else [None]
        if label not in branches:
            raise SchemaMismatch(
                f"{value!r:.80} belongs to a union; it must be null or an object such as {{{[*branches][-1]!r}: value}}"
            )
        inner = _without_labels(branches[label], value[label], validate)
        validate(branches[label], inner)
        return inner
    return value


class ProtocolBuffer:
    """A .proto file. Its only top-level message is the type of published messages."""

    def __init__(self, text: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "schema.proto").write_text(text, encoding="utf-8")
            # A separate process, because the compiler in the library writes its errors to the process's stderr.
            command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports"]
            flags = [f"--descriptor_set_out={folder}/out", "schema.proto"]
            done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                raise InvalidDefinition(
                    f"Invalid protocol buffer schema: {_one_line(done.stderr.replace(folder + '/', ''))}"
                )
            files = descriptor_pb2.FileDescriptorSet.FromString(Path(folder, "out").read_bytes()).file
        pool = descriptor_pool.DescriptorPool()
        for file in files:
            pool.Add(file)
        if len(files[-1].message_type) != 1:
            raise InvalidDefinition("Invalid protocol buffer schema: it must have exactly one message at its top level")
        name = ".".join(filter(None, (files[-1].package, files[-1].message_type[0].name)))
        self._message: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    def check_json(self, data: bytes) -> None:
        self._check(lambda empty: json_format.Parse(data, empty))

    def check_binary(self, data: bytes) -> None:
        self._check(lambda empty: empty.ParseFromString(data))

    def _check(self, parse: Callable[[Any], object]) -> None:
        parsed = self._message()
        try:
            parse(parsed)
        except (json_format.ParseError, message.DecodeError, ValueError, RecursionError) as exc:
            raise SchemaMismatch(_one_line(exc)) from exc
        if missing := parsed.FindInitializationErrors():
            raise SchemaMismatch(f"it lacks {', '.join(missing)}")


def _no_number(word: str) -> float:
    raise SchemaMismatch(f"{word} is not a number")


def _one_line(text: object) -> str:
    """A library's message in one line of at most 400 characters."""
    return " ".join(str(text).split())[:400]
