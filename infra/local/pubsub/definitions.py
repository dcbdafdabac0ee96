"""Definitions of schemas: read by the libraries of Apache Avro and of protocol buffers, which judge the messages too.

The libraries are imported when the first schema comes: most twins have none.
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


class BadDefinition(ValueError):
    """It is no definition of a schema; the message says why."""


class Unfit(ValueError):
    """A message does not fit its schema; the message says where."""


class Definition(Protocol):
    """What messages are checked with; Unfit when one does not fit, as JSON or in the binary encoding of its kind."""

    def check_json(self, data: bytes) -> None: ...
    def check_binary(self, data: bytes) -> None: ...


class Avro:
    """One Avro schema. Logical types count as the types below them."""

    def __init__(self, text: str) -> None:
        from avro import errors, schema

        try:
            plain = json.loads(text, object_hook=lambda part: {k: v for k, v in part.items() if k != "logicalType"})
            self._schema: Any = schema.parse(json.dumps(plain))
        except (errors.AvroException, ValueError, RecursionError) as exc:
            raise BadDefinition(f"Invalid Avro schema: {_line(exc)}") from exc

    def check_json(self, data: bytes) -> None:
        try:
            value = json.loads(data, parse_constant=_no_number)
            self._validate(self._schema, _unlabelled(self._schema, value, self._validate))
        except (ValueError, RecursionError) as exc:
            raise Unfit(_line(exc)) from exc

    def check_binary(self, data: bytes) -> None:
        from avro import errors
        from avro import io as binary

        rest = io.BytesIO(data)
        try:
            value = binary.DatumReader(self._schema).read(binary.BinaryDecoder(rest))
            self._validate(self._schema, value)
        except (errors.AvroException, ValueError, RecursionError) as exc:
            raise Unfit(_line(exc)) from exc
        if left := rest.read():
            raise Unfit(f"{len(left)} bytes are left over at its end")

    def _validate(self, schema: Any, value: Any) -> None:
        from avro import errors
        from avro import io as binary

        try:
            binary.validate(schema, value, raise_on_error=True)
        except errors.AvroException as exc:
            raise Unfit(_line(exc)) from exc


def _unlabelled(schema: Any, value: Any, validate: Any) -> Any:
    """The value of a JSON text as the library knows it: unions without the names of their types, bytes as bytes.

    What has not the form of its type is left as it is: it is not valid then.
    """
    kind = schema.type
    if isinstance(value, bool) and kind in ("int", "long", "float", "double"):  # a number to the library
        raise Unfit(f"{value} is no {kind}")
    if kind == "record" and isinstance(value, dict):
        types = {field.name: field.type for field in schema.fields}
        if types.keys() != value.keys():
            raise Unfit(f"{schema.name} has the fields {sorted(value)}; wanted are {sorted(types)}")
        return {name: _unlabelled(types[name], each, validate) for name, each in value.items()}
    if kind == "array" and isinstance(value, list):
        return [_unlabelled(schema.items, each, validate) for each in value]
    if kind == "map" and isinstance(value, dict):
        return {name: _unlabelled(schema.values, each, validate) for name, each in value.items()}
    if kind in ("bytes", "fixed") and isinstance(value, str):
        return value.encode("latin-1")
    if kind == "union" and value is not None:
        branches = {getattr(each, "fullname", None) or each.type: each for each in schema.schemas}
        [label] = value if isinstance(value, dict) and len(value) == 1 else [None]
        if label not in branches:
            raise Unfit(
                f"{value!r:.80} is of a union; it must be null or an object such as {{{[*branches][-1]!r}: value}}"
            )
        inner = _unlabelled(branches[label], value[label], validate)
        validate(branches[label], inner)
        return inner
    return value


class ProtocolBuffer:
    """One .proto file; its first message is what is published."""

    def __init__(self, text: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "schema.proto").write_text(text, encoding="utf-8")
            # A process of its own: the compiler in the library writes its complaints to the process's stderr.
            command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports"]
            flags = [f"--descriptor_set_out={folder}/out", "schema.proto"]
            done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                raise BadDefinition(f"Invalid protocol buffer schema: {_line(done.stderr.replace(folder + '/', ''))}")
            files = descriptor_pb2.FileDescriptorSet.FromString(Path(folder, "out").read_bytes()).file
        pool = descriptor_pool.DescriptorPool()
        for file in files:
            pool.Add(file)
        if len(files[-1].message_type) != 1:
            raise BadDefinition("Invalid protocol buffer schema: it must have exactly one message at its top level")
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
            raise Unfit(_line(exc)) from exc
        if missing := parsed.FindInitializationErrors():
            raise Unfit(f"it lacks {', '.join(missing)}")


def _no_number(word: str) -> float:
    raise Unfit(f"{word} is no number")


def _line(words: object) -> str:
    """What a library says, on one line of a bearable length."""
    return " ".join(str(words).split())[:400]
