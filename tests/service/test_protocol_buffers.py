"""Protocol buffer schemas: which messages fit; a compiler in a separate process reads them."""

from __future__ import annotations

import pytest

from infra.local.pubsub.definitions import InvalidDefinition, ProtocolBuffer, SchemaMismatch

PROTO = 'syntax = "proto2"; package a; message Answer { required string label = 1; message Inner {} }'


def test_messages_that_fit_a_protocol_buffer_schema() -> None:
    proto = ProtocolBuffer(PROTO)
    proto.check_json(b'{"label": "coat"}')
    proto.check_binary(b"\x0a\x04coat")
    for unfit in (b"coat", b'{"label": 1}', b'{"more": 1, "label": "coat"}', b"{}", b"\xff"):
        with pytest.raises(SchemaMismatch):
            proto.check_json(unfit)
    for unfit in (b"\x0a\x09coat", b""):
        with pytest.raises(SchemaMismatch):
            proto.check_binary(unfit)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("coat", "schema.proto:1:1: Expected top-level statement"),
        ('syntax = "proto3"; import "other.proto"; message A {}', "other.proto: File not found"),
        ('syntax = "proto3";', "exactly one message"),
        ('syntax = "proto3"; message A {} message B {}', "exactly one message"),
    ],
)
def test_invalid_protocol_buffer_schemas_are_refused(definition: str, said: str) -> None:
    with pytest.raises(InvalidDefinition, match=said):
        ProtocolBuffer(definition)
