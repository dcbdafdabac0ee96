"""Notification configurations through the API of the Storage server, with the stock client."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage import Bucket

from infra.local.storage.notify import Notifier
from infra.local.storage.server import StorageServer
from tests.brokers import Cloud
from tests.waiting import nothing, pull


@pytest.fixture
def notified(cloud: Cloud) -> str:
    return cloud.subscription(cloud.topic("notified"), "notified-sub")


@pytest.fixture
def bucket(cloud: Cloud, notified: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with StorageServer(names=["watched"], notifier=Notifier(cloud.host, ())) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project=cloud.project)
        yield client.bucket("watched")
        client.close()


def test_configurations_are_created_read_listed_and_deleted(bucket: Bucket) -> None:
    assert list(bucket.list_notifications()) == []
    asked = bucket.notification(
        "notified",
        event_types=["OBJECT_DELETE"],
        blob_name_prefix="in/",
        custom_attributes={"a": "b"},
        payload_format="NONE",
    )
    asked.create()
    other = bucket.notification("notified", payload_format="JSON_API_V1")
    other.create()
    read = bucket.get_notification(asked.notification_id)
    assert (read.event_types, read.blob_name_prefix) == (["OBJECT_DELETE"], "in/")
    assert (read.custom_attributes, read.payload_format) == ({"a": "b"}, "NONE")
    listed = {each.notification_id: (each.topic_name, each.topic_project) for each in bucket.list_notifications()}
    topic = ("notified", bucket.client.project)
    assert listed == {asked.notification_id: topic, other.notification_id: topic}
    asked.delete()
    assert not asked.exists()
    assert [each.notification_id for each in bucket.list_notifications()] == [other.notification_id]
    with pytest.raises(exceptions.NotFound):
        asked.delete()


def test_only_matching_events_are_notified(cloud: Cloud, bucket: Bucket, notified: str) -> None:
    asked = bucket.notification(
        "notified",
        event_types=["OBJECT_FINALIZE"],
        blob_name_prefix="in/",
        custom_attributes={"team": "shoes", "eventType": "mine"},
        payload_format="NONE",
    )
    asked.create()
    bucket.blob("out/1").upload_from_string(b"x")
    bucket.blob("in/1").upload_from_string(b"x")
    bucket.blob("in/1").delete()
    (received,) = pull(cloud, notified)
    attributes = dict(received.message.attributes)
    assert (attributes["team"], attributes["objectId"]) == ("shoes", "in/1")
    assert (attributes["eventType"], attributes["payloadFormat"]) == ("OBJECT_FINALIZE", "NONE")
    assert attributes["notificationConfig"].endswith(f"/watched/notificationConfigs/{asked.notification_id}")
    assert received.message.data == b""
    assert nothing(cloud, notified)
    asked.delete()
    bucket.notification("notified", payload_format="JSON_API_V1").create()
    bucket.blob("later").upload_from_string(b"x")
    (received,) = pull(cloud, notified)
    assert json.loads(received.message.data)["name"] == "later"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"topic_name": "notified", "payload_format": "XML"}, "payload_format"),
        ({"topic_name": "notified", "payload_format": "NONE", "event_types": ["OBJECT_EATEN"]}, "OBJECT_EATEN"),
        ({"topic_name": "a/b", "payload_format": "NONE"}, "topic must look like"),
    ],
)
def test_invalid_requests_are_refused(bucket: Bucket, asked: dict[str, object], words: str) -> None:
    with pytest.raises(exceptions.BadRequest, match=words):
        bucket.notification(**asked).create()


def test_a_missing_bucket_has_no_configurations(bucket: Bucket) -> None:
    with pytest.raises(exceptions.NotFound, match="nowhere"):
        bucket.client.bucket("nowhere").notification("notified", payload_format="NONE").create()
    made = bucket.client.create_bucket("passing")
    made.notification("notified", payload_format="NONE").create()
    made.delete()
    again = bucket.client.create_bucket("passing")
    assert list(again.list_notifications()) == []
