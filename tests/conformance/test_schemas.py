"""Schemas: revisions, and topics that refuse messages that do not fit, in JSON and binary."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from google.api_core import exceptions
from google.pubsub_v1 import SchemaServiceClient
from google.pubsub_v1.services.schema_service.transports import SchemaServiceGrpcTransport
from google.pubsub_v1.types import Encoding, Schema

from tests.brokers import Cloud
from tests.waiting import pull

FIELDS = [{"name": "label", "type": "string"}, {"name": "score", "type": "double"}]
RECORD = json.dumps({"type": "record", "name": "Answer", "fields": FIELDS})
MORE = json.dumps({"type": "record", "name": "Answer", "fields": [*FIELDS, {"name": "n", "type": ["null", "int"]}]})
FITS = b'{"label": "coat", "score": 0.5}'
BINARY = b"\x08coat" + b"\x00" * 8


@pytest.fixture
def schemas(cloud: Cloud) -> Iterator[SchemaServiceClient]:
    with grpc.insecure_channel(cloud.host) as channel:
        yield SchemaServiceClient(transport=SchemaServiceGrpcTransport(channel=channel))


def create(cloud: Cloud, schemas: SchemaServiceClient, definition: str = RECORD) -> Schema:
    schema = {"type_": Schema.Type.AVRO, "definition": definition}
    parent = f"projects/{cloud.project}"
    return schemas.create_schema(parent=parent, schema=schema, schema_id="answers")


def test_a_schema_is_kept_until_it_is_deleted(cloud: Cloud, schemas: SchemaServiceClient) -> None:
    created = create(cloud, schemas)
    assert schemas.get_schema(name=created.name).definition == RECORD
    with pytest.raises(exceptions.AlreadyExists):
        create(cloud, schemas)
    assert [each.name for each in schemas.list_schemas(parent=f"projects/{cloud.project}")] == [created.name]
    schemas.delete_schema(name=created.name)
    with pytest.raises(exceptions.NotFound):
        schemas.get_schema(name=created.name)


@pytest.mark.parametrize(
    "definition",
    ["{", '"nothing"', '{"type": "record", "name": "A"}', '{"type": "enum", "name": "A", "symbols": ["1"]}'],
)
def test_an_invalid_schema_is_refused(cloud: Cloud, schemas: SchemaServiceClient, definition: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        create(cloud, schemas, definition)


@pytest.mark.parametrize(
    ("encoding", "fits", "unfit"),
    [
        (Encoding.JSON, FITS, [b"coat", b'{"label": "coat"}', b'{"label": 1, "score": 0.5}']),
        (Encoding.BINARY, BINARY, [b"", BINARY[:-1]]),
    ],
    ids=["json", "binary"],
)
def test_a_topic_refuses_messages_that_do_not_fit_its_schema(
    cloud: Cloud, schemas: SchemaServiceClient, encoding: Encoding, fits: bytes, unfit: list[bytes]
) -> None:
    schema = create(cloud, schemas)
    topic = cloud.topic(schema_settings={"schema": schema.name, "encoding": encoding})
    subscription = cloud.subscription(topic)
    for data in unfit:
        with pytest.raises(exceptions.InvalidArgument):
            cloud.publisher.publish(topic, data, a="b").result(10)
    cloud.publisher.publish(topic, fits).result(10)
    [received] = pull(cloud, subscription)
    assert received.message.data == fits
    assert dict(received.message.attributes) == {
        "googclient_schemaencoding": encoding.name,
        "googclient_schemaname": schema.name,
        "googclient_schemarevisionid": schema.revision_id,
    }


def test_a_topic_needs_an_existing_schema(cloud: Cloud) -> None:
    absent = f"projects/{cloud.project}/schemas/absent"
    with pytest.raises(exceptions.NotFound):
        cloud.topic(schema_settings={"schema": absent, "encoding": Encoding.JSON})


def test_a_message_is_validated(cloud: Cloud, schemas: SchemaServiceClient) -> None:
    request = {"parent": f"projects/{cloud.project}", "name": create(cloud, schemas).name, "encoding": Encoding.JSON}
    schemas.validate_message(request={**request, "message": FITS})
    with pytest.raises(exceptions.InvalidArgument):
        schemas.validate_message(request={**request, "message": b"{}"})


def test_schema_revisions_are_created_and_rolled_back(cloud: Cloud, schemas: SchemaServiceClient) -> None:
    first = create(cloud, schemas)
    changed = {"name": first.name, "type_": Schema.Type.AVRO, "definition": MORE}
    second = schemas.commit_schema(name=first.name, schema=changed)
    assert schemas.get_schema(name=first.name).definition == MORE
    third = schemas.rollback_schema(name=first.name, revision_id=first.revision_id)
    assert schemas.get_schema(name=first.name).definition == RECORD
    ids = {each.revision_id for each in schemas.list_schema_revisions(name=first.name)}
    assert ids == {first.revision_id, second.revision_id, third.revision_id} and len(ids) == 3
    schemas.delete_schema_revision(name=f"{first.name}@{third.revision_id}")
    assert schemas.get_schema(name=first.name).definition == MORE


def test_protocol_buffer_schemas_validate_messages(cloud: Cloud, schemas: SchemaServiceClient) -> None:
    definition = 'syntax = "proto3"; package a; message Answer { string label = 1; }'
    schema = {"type_": Schema.Type.PROTOCOL_BUFFER, "definition": definition}
    name = schemas.create_schema(parent=f"projects/{cloud.project}", schema=schema, schema_id="answers").name
    topic = cloud.topic(schema_settings={"schema": name, "encoding": Encoding.BINARY})
    subscription = cloud.subscription(topic)
    with pytest.raises(exceptions.InvalidArgument):
        cloud.publisher.publish(topic, b"\x0a\x09coat").result(10)
    cloud.publisher.publish(topic, b"\x0a\x04coat").result(10)
    [received] = pull(cloud, subscription)
    assert received.message.attributes["googclient_schemaencoding"] == "BINARY"
    with pytest.raises(exceptions.InvalidArgument, match="strin"):
        wrong = {**schema, "definition": definition.replace("string", "strin")}
        schemas.commit_schema(name=name, schema={**wrong, "name": name})
    with pytest.raises(exceptions.InvalidArgument, match="type"):
        schemas.commit_schema(name=name, schema={"name": name, "type_": Schema.Type.AVRO, "definition": RECORD})
