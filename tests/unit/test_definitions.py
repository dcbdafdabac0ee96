"""Avro schema checks of JSON and binary values, in edge cases that the topic tests do not reach."""

from __future__ import annotations

import json

import pytest

from infra.local.pubsub.definitions import Avro, InvalidDefinition, SchemaMismatch

TREE = {"type": "record", "name": "Tree", "fields": [{"name": "next", "type": ["null", "Tree"]}]}


@pytest.mark.parametrize(
    ("schema", "fits", "unfit"),
    [
        ("int", b"2147483647", b"2147483648"),
        ("long", b"2147483648", b"true"),
        (["null", "string"], b'{"string": "a"}', b'"a"'),
        ({"type": "array", "items": "int"}, b"[1, 2]", b'["1"]'),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b'"A"', b'"B"'),
        ({"type": "fixed", "name": "F", "size": 2}, b'"\\u0000a"', b'"a"'),
        (TREE, b'{"next": {"Tree": {"next": null}}}', b'{"next": {}}'),
        (TREE, b'{"next": null}', b'{"next": null, "more": 1}'),
        (TREE, b'{"next": null}', b'{"next": {"Tree": ' * 2000),
        (["null", "int", "string"], b'{"int": 1}', b'{"int": "a"}'),
        ("bytes", b'"\\u00ff"', b'"\\u0100"'),
        ("double", b"1", b"NaN"),
        ({"type": "int", "logicalType": "date"}, b"3", b'"1970-01-04"'),
    ],
)
def test_json_values_are_checked_against_an_avro_schema(schema: object, fits: bytes, unfit: bytes) -> None:
    avro = Avro(json.dumps(schema))
    avro.check_json(fits)
    with pytest.raises(SchemaMismatch):
        avro.check_json(unfit)


@pytest.mark.parametrize(
    ("schema", "fits", "unfit"),
    [
        ("int", b"\x02", b"\x02\x02"),
        ("int", b"\xfe\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x10"),
        ("string", b"\x02a", b"\x02\xff"),
        ("bytes", b"\x02\xff", b"\x01"),
        (["null", "int"], b"\x02\x02", b"\x04"),
        ({"type": "array", "items": "null"}, b"\x04\x00", b"\xfe\xff\xff\xff\xff\xff\x01\x00"),
        ({"type": "map", "values": "int"}, b"\x01\x06\x02a\x02\x00", b"\x02\x02a"),
        (TREE, b"\x02\x02\x00", b"\x02" * 100),
        (TREE, b"\x00", b"\x02" * 1_000_000),
    ],
)
def test_binary_values_are_checked_against_an_avro_schema(schema: object, fits: bytes, unfit: bytes) -> None:
    avro = Avro(json.dumps(schema))
    avro.check_binary(fits)
    with pytest.raises(SchemaMismatch):
        avro.check_binary(unfit)


@pytest.mark.parametrize("schema", [["int", "int"], {"type": "array"}, {"type": "fixed", "name": "F"}, 1, {}])
def test_invalid_avro_schemas_are_refused(schema: object) -> None:
    with pytest.raises(InvalidDefinition):
        Avro(json.dumps(schema))
