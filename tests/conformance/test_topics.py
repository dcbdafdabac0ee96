"""Topics: creation, updates, and refusals with the status codes of the cloud."""

from __future__ import annotations

import pytest
from google.api_core import exceptions

from tests.brokers import Cloud
from tests.waiting import nothing, pull


def test_created_listed_and_deleted(cloud: Cloud) -> None:
    topics = [cloud.topic(f"topic-{number}") for number in range(3)]
    project = f"projects/{cloud.project}"
    assert [topic.name for topic in cloud.publisher.list_topics(project=project)] == topics
    cloud.publisher.delete_topic(topic=topics[1])
    assert [topic.name for topic in cloud.publisher.list_topics(project=project)] == [topics[0], topics[2]]


def test_listings_come_in_pages(cloud: Cloud) -> None:
    topics = [cloud.topic(f"topic-{number}") for number in range(5)]
    pages = cloud.publisher.list_topics({"project": f"projects/{cloud.project}", "page_size": 2}).pages
    assert [[topic.name for topic in page.topics] for page in pages] == [topics[:2], topics[2:4], topics[4:]]


def test_projects_are_separate(cloud: Cloud) -> None:
    cloud.topic()
    assert not list(cloud.publisher.list_topics(project=f"projects/{cloud.project}-other"))


def test_a_second_creation_is_refused(cloud: Cloud) -> None:
    cloud.topic()
    with pytest.raises(exceptions.AlreadyExists):
        cloud.topic()


@pytest.mark.parametrize("name", ["ab", "1abc", "googly", "a b c", "a/b/c"])
def test_bad_name_is_refused(cloud: Cloud, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="Invalid \\[topics\\] name"):
        cloud.topic(name)


def test_a_missing_topic_is_not_found(cloud: Cloud) -> None:
    missing = f"projects/{cloud.project}/topics/missing"
    with pytest.raises(exceptions.NotFound):
        cloud.publisher.get_topic(topic=missing)
    with pytest.raises(exceptions.NotFound):
        cloud.publisher.delete_topic(topic=missing)
    with pytest.raises(exceptions.NotFound):
        cloud.publisher.publish(missing, b"x").result(10)


def test_labels_are_updated_by_mask(cloud: Cloud) -> None:
    topic = cloud.topic(labels={"a": "1"}, message_retention_duration={"seconds": 600})
    cloud.publisher.update_topic({"topic": {"name": topic, "labels": {"b": "2"}}, "update_mask": {"paths": ["labels"]}})
    changed = cloud.publisher.get_topic(topic=topic)
    assert dict(changed.labels) == {"b": "2"}
    assert changed.message_retention_duration.total_seconds() == 600


def test_a_subscription_outlives_its_topic(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    cloud.publisher.publish(topic, b"kept").result(10)
    cloud.publisher.delete_topic(topic=topic)
    assert cloud.subscriber.get_subscription(subscription=subscription).topic == "_deleted-topic_"
    assert [each.message.data for each in pull(cloud, subscription)] == [b"kept"]
    cloud.topic()
    cloud.publisher.publish(topic, b"a new topic").result(10)
    assert nothing(cloud, subscription)


def test_an_empty_message_is_refused(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    with pytest.raises(exceptions.InvalidArgument, match="empty"):
        cloud.publisher.publish(topic, b"").result(10)
    cloud.publisher.publish(topic, b"", only="attributes").result(10)
    (received,) = pull(cloud, subscription)
    assert dict(received.message.attributes) == {"only": "attributes"}


def test_a_message_over_10_mb_is_refused(cloud: Cloud) -> None:
    from google.pubsub_v1 import PublisherClient as Plain

    topic = cloud.topic()
    with pytest.raises(exceptions.InvalidArgument, match="at most 10000000"):
        Plain.publish(cloud.publisher, topic=topic, messages=[{"data": bytes(10_000_001)}])


def test_ingestion_settings_are_kept_in_an_error_state(cloud: Cloud) -> None:
    source = {"cloud_storage": {"bucket": "elsewhere", "text_format": {}}}
    topic = cloud.topic(ingestion_data_source_settings=source)
    kept = cloud.publisher.get_topic(topic=topic)
    assert kept.ingestion_data_source_settings.cloud_storage.bucket == "elsewhere"
    assert kept.state == kept.State.INGESTION_RESOURCE_ERROR
    cloud.publisher.publish(topic, b"all the same").result(10)


def test_transforms_and_exports_are_refused(cloud: Cloud) -> None:
    script = {"javascript_udf": {"function_name": "f", "code": "function f(message, metadata) { return null; }"}}
    with pytest.raises(exceptions.MethodNotImplemented, match=r"message_transforms\[0\]\.javascript_udf \(f\)"):
        cloud.topic(message_transforms=[script])
    topic = cloud.topic()
    for setting in (
        {"message_transforms": [script]},
        {"bigquery_config": {"table": "p.d.t"}},
        {"cloud_storage_config": {"bucket": "elsewhere"}},
    ):
        with pytest.raises(exceptions.MethodNotImplemented, match=next(iter(setting))):
            cloud.subscription(topic, **setting)
