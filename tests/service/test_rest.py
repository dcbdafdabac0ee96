"""REST on the port of gRPC: through the stock clients' REST transports, and by hand for other cases."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient, SchemaServiceClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherRestTransport
from google.pubsub_v1.services.schema_service.transports import SchemaServiceRestTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberRestTransport
from google.pubsub_v1.types import Encoding, Schema

from infra.local.fault_plan import FaultPlan
from infra.local.pubsub.server import PubsubServer

TOPIC, SUBSCRIPTION = "projects/p/topics/topic", "projects/p/subscriptions/subscription"


@pytest.fixture
def server() -> Iterator[PubsubServer]:
    with PubsubServer() as server:
        yield server


@pytest.fixture
def publisher(server: PubsubServer) -> Iterator[PublisherClient]:
    transport = PublisherRestTransport(host=f"http://{server.host}", credentials=AnonymousCredentials())
    with PublisherClient(transport=transport) as client:
        client.create_topic(name=TOPIC)
        yield client


@pytest.fixture
def subscriber(server: PubsubServer, publisher: PublisherClient) -> Iterator[SubscriberClient]:
    transport = SubscriberRestTransport(host=f"http://{server.host}", credentials=AnonymousCredentials())
    with SubscriberClient(transport=transport) as client:
        client.create_subscription(name=SUBSCRIPTION, topic=TOPIC)
        yield client


def test_publish_pull_ack(publisher: PublisherClient, subscriber: SubscriberClient) -> None:
    message = {"data": bytes(range(256)), "attributes": {"a": "ä"}, "ordering_key": "k"}
    [message_id] = publisher.publish(topic=TOPIC, messages=[message]).message_ids
    [received] = subscriber.pull(subscription=SUBSCRIPTION, max_messages=5).received_messages
    assert received.message.message_id == message_id and received.message.data == message["data"]
    assert dict(received.message.attributes) == {"a": "ä"} and received.message.ordering_key == "k"
    subscriber.modify_ack_deadline(subscription=SUBSCRIPTION, ack_ids=[received.ack_id], ack_deadline_seconds=0)
    [again] = subscriber.pull(subscription=SUBSCRIPTION, max_messages=5).received_messages
    subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=[again.ack_id])
    subscriber.seek(request={"subscription": SUBSCRIPTION, "time": {"seconds": 0}})


def test_an_update_names_its_fields(publisher: PublisherClient, subscriber: SubscriberClient) -> None:
    wanted = {"name": SUBSCRIPTION, "ack_deadline_seconds": 33, "retry_policy": {"minimum_backoff": {"seconds": 1}}}
    mask = {"paths": ["ack_deadline_seconds", "retry_policy"]}
    subscriber.update_subscription(subscription=wanted, update_mask=mask)
    kept = subscriber.get_subscription(subscription=SUBSCRIPTION)
    assert kept.ack_deadline_seconds == 33 and kept.retry_policy.minimum_backoff.seconds == 1
    with pytest.raises(exceptions.BadRequest, match="it must be from 10 to 600"):
        subscriber.update_subscription(subscription={**wanted, "ack_deadline_seconds": 5}, update_mask=mask)


def test_listings_come_in_pages(publisher: PublisherClient) -> None:
    names = [f"projects/p/topics/topic-{number}" for number in range(3)]
    for name in names:
        publisher.create_topic(name=name)
    pages = publisher.list_topics(request={"project": "projects/p", "page_size": 3}).pages
    assert [[topic.name for topic in page.topics] for page in pages] == [[TOPIC, *names[:2]], names[2:]]


def test_policies_are_set_and_read_over_rest(publisher: PublisherClient) -> None:
    binding = {"role": "roles/pubsub.viewer", "members": ["user:a@example.com"]}
    publisher.set_iam_policy(request={"resource": TOPIC, "policy": {"bindings": [binding]}})
    [kept] = publisher.get_iam_policy(request={"resource": TOPIC}).bindings
    assert kept.role == "roles/pubsub.viewer"
    asked = {"resource": TOPIC, "permissions": ["pubsub.topics.publish"]}
    assert publisher.test_iam_permissions(request=asked).permissions == ["pubsub.topics.publish"]


def test_schemas_are_created_and_validated_over_rest(server: PubsubServer) -> None:
    transport = SchemaServiceRestTransport(host=f"http://{server.host}", credentials=AnonymousCredentials())
    with SchemaServiceClient(transport=transport) as client:
        schema = {"type_": Schema.Type.AVRO, "definition": '"string"'}
        created = client.create_schema(parent="projects/p", schema=schema, schema_id="words")
        assert created.type_ == Schema.Type.AVRO and client.get_schema(name=created.name).definition == '"string"'
        message = {"parent": "projects/p", "name": created.name, "encoding": Encoding.JSON, "message": b"1"}
        with pytest.raises(exceptions.BadRequest, match='The datum "1"'):
            client.validate_message(request=message)


def test_rest_and_grpc_share_a_port(
    server: PubsubServer, subscriber: SubscriberClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
    data = b"x" * 3_000_000
    with pubsub_v1.PublisherClient() as publisher, pubsub_v1.SubscriberClient() as streaming:
        for _ in range(4):
            publisher.publish(TOPIC, data).result(10)
        [received] = subscriber.pull(subscription=SUBSCRIPTION, max_messages=1).received_messages
        assert received.message.data == data
        got = streaming.pull(subscription=SUBSCRIPTION, max_messages=1).received_messages
        assert [each.message.data for each in got] == [data]


def test_a_publish_of_10_mb(server: PubsubServer, publisher: PublisherClient) -> None:
    encoded = base64.b64encode(b"x" * 9_990_000).decode()
    url = f"http://{server.host}/v1/{TOPIC}:publish"
    assert len(requests.post(url, json={"messages": [{"data": encoded}]}, timeout=10).json()["messageIds"]) == 1
    refused = requests.post(url, json={"messages": [{"data": encoded + encoded}]}, timeout=10)
    assert refused.status_code == 400 and "Content-Length of at most 20000000" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("verb", "path", "body", "code", "status", "said"),
    [
        ("GET", "v1/projects/p/topics/absent", None, 404, "NOT_FOUND", "resource=absent"),
        ("PUT", f"v1/{TOPIC}", "{}", 409, "ALREADY_EXISTS", "resource=topic"),
        ("PUT", "v1/projects/p/topics/1", "{}", 400, "INVALID_ARGUMENT", "Invalid [topics] name"),
        ("PUT", "v1/projects/p/topics/more", "{", 400, "INVALID_ARGUMENT", "Invalid JSON"),
        ("PUT", "v1/projects/p/topics/more", "[1]", 400, "INVALID_ARGUMENT", "Invalid JSON"),
        ("PUT", "v1/projects/p/topics/more", '{"lable": {}}', 400, "INVALID_ARGUMENT", '"lable"'),
        ("GET", "v1/projects/p/topics?pageSise=1", None, 400, "INVALID_ARGUMENT", '"pageSise"'),
        ("POST", f"v1/{TOPIC}:publish", '{"messages": [{"data": "a"}]}', 400, "INVALID_ARGUMENT", "data"),
        ("POST", "v1/projects/p/topics", "{}", 404, "NOT_FOUND", "POST /v1/projects/p/topics"),
        ("GET", f"v1/{TOPIC}:frob", None, 400, "INVALID_ARGUMENT", "Invalid [topics] name"),
    ],
)
def test_a_refusal_has_a_message(
    server: PubsubServer,
    publisher: PublisherClient,
    verb: str,
    path: str,
    body: str | None,
    code: int,
    status: str,
    said: str,
) -> None:
    answer = requests.request(verb, f"http://{server.host}/{path}", data=body, timeout=5)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (code, code, status)
    assert said in error["message"]


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.0", b"nonsense", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked"],
    ids=["1.0", "?", "chunked"],
)
def test_requests_other_than_http_1_1_with_a_length_are_refused(server: PubsubServer, head: bytes) -> None:
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # to the end: it is closed
    assert answer.startswith(b"HTTP/1.1 400 ") and b"Content-Length" in answer


def test_a_fault_plan_applies_to_rest() -> None:
    with PubsubServer(fault_plan=FaultPlan(seed=1, errors=1)) as server:
        address = f"http://{server.host}/v1/{TOPIC}"
        assert requests.put(address, timeout=5).status_code == 200
        body = {"messages": [{"data": "eA=="}]}
        answers = [requests.post(f"{address}:publish", json=body, timeout=5) for _ in range(20)]
        assert {(each.status_code, each.json()["error"]["status"]) for each in answers} == {
            (429, "RESOURCE_EXHAUSTED"),
            (503, "UNAVAILABLE"),
        }
