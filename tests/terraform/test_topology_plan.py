"""Terraform plans the same topology in the cloud as the twin creates locally."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from client.doctor.checks.bigquery import bigquery
from client.gcp import Cloud
from infra.check.scenarios import EXAMPLE, SCENARIOS
from infra.local.admin import create
from infra.local.kafka_topics import PARTITIONS, kafka_topics
from infra.local.pubsub.server import PubsubServer
from infra.local.topology import Topology
from tests.terraform.conftest import Plan

PROJECT = EXAMPLE["project_id"]
Facts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def planned(plan: Plan) -> list[dict[str, Any]]:
    return plan()


@pytest.fixture(scope="module")
def worker_url(planned: list[dict[str, Any]]) -> str:
    return str(_of(planned, "google_cloud_run_v2_service")["worker"]["uri"])


@pytest.fixture
def server() -> Iterator[PubsubServer]:
    with PubsubServer() as server:
        yield server


def test_topics_equal_those_of_the_twin(planned: list[dict[str, Any]], server: PubsubServer) -> None:
    create(Topology.read(), server.host, PROJECT)
    with grpc.insecure_channel(server.host) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        topics = list(publisher.list_topics(project=f"projects/{PROJECT}"))
    twin = {topic.name: {"retention_s": topic.message_retention_duration.total_seconds()} for topic in topics}

    cloud = {
        topic["id"]: {"retention_s": _seconds(topic["message_retention_duration"] or "0s")}
        for topic in _of(planned, "google_pubsub_topic").values()
    }

    assert cloud == twin


def test_subscriptions_equal_those_of_the_twin(
    planned: list[dict[str, Any]], server: PubsubServer, worker_url: str
) -> None:
    create(Topology.read(), server.host, PROJECT, push_to=worker_url)

    assert _cloud_subscriptions(planned) == _twin_subscriptions(server)


def test_subscriptions_of_a_pull_pool_equal_those_of_the_twin(plan: Plan, server: PubsubServer) -> None:
    create(Topology.read(), server.host, PROJECT)

    assert _cloud_subscriptions(plan(compute="worker")) == _twin_subscriptions(server)


def test_topics_of_a_managed_kafka_equal_those_of_the_twin(plan: Plan) -> None:
    planned = _of(plan(**SCENARIOS["`managed_kafka`"]), "google_managed_kafka_topic").values()
    cloud = {topic["topic_id"]: (topic["partition_count"], topic["configs"]) for topic in planned}

    assert cloud == {topic.name: (PARTITIONS, topic.settings) for topic in kafka_topics(Topology.read())}


def test_only_bigquery_resources_are_missing_in_the_twin(planned: list[dict[str, Any]]) -> None:
    kinds = ("google_pubsub_topic", "google_pubsub_subscription", "google_storage_bucket")
    others = {each["values"]["name"] for each in planned if each["type"] in kinds and each["name"] != "this"}

    assert others == {"res_predict-bigquery", "dead_bigquery", "dead_bigquery-sub"}


def test_the_doctor_knows_rows_as_terraform_makes_them(planned: list[dict[str, Any]]) -> None:
    made = {each["values"]["id"]: each["values"] for each in planned if each["type"] == "google_pubsub_subscription"}

    for wanted in bigquery(Cloud(PROJECT), "").subscriptions:
        cloud = _cloud_subscription(made[wanted.name])
        assert (cloud["topic"], cloud["ack_deadline_s"]) == (wanted.topic, wanted.settings.ack_deadline_s)
        assert (cloud["retention_s"], cloud["ttl_s"]) == (wanted.settings.retention_s, wanted.settings.ttl_s)
        assert (cloud["retry"], cloud["dead_letter"]) == (wanted.settings.retry_s, wanted.settings.dead_letters)


def test_a_difference_is_found(planned: list[dict[str, Any]], server: PubsubServer, worker_url: str) -> None:
    create(Topology.read().with_retry(1, 2, max_delivery_attempts=5), server.host, PROJECT, push_to=worker_url)
    cloud, twin = _cloud_subscriptions(planned), _twin_subscriptions(server)

    request = f"projects/{PROJECT}/subscriptions/req_predict-sub"
    assert {key for key, value in cloud[request].items() if twin[request][key] != value} == {"retry", "dead_letter"}


def test_buckets_and_notifications(planned: list[dict[str, Any]]) -> None:
    topology = Topology.read()
    buckets = _of(planned, "google_storage_bucket")
    notifications = _of(planned, "google_storage_notification").values()

    assert {bucket["name"] for bucket in buckets.values()} == {
        f"{PROJECT}-{bucket.name}" for bucket in topology.buckets
    }
    assert [
        (
            notification["bucket"],
            notification["topic"],
            sorted(notification["event_types"]),
            notification["payload_format"],
        )
        for notification in notifications
    ] == [
        (f"{PROJECT}-{each.bucket}", f"projects/{PROJECT}/topics/{each.topic}", sorted(each.event_types), "JSON_API_V1")
        for each in topology.notifications
    ]


def _of(resources: list[dict[str, Any]], kind: str) -> Facts:
    """The values of one type's resources, by key: those of topology.yaml are all called `this`."""
    return {each["index"]: each["values"] for each in resources if each["type"] == kind and each["name"] == "this"}


def _cloud_subscriptions(planned: list[dict[str, Any]]) -> Facts:
    return {each["id"]: _cloud_subscription(each) for each in _of(planned, "google_pubsub_subscription").values()}


def _cloud_subscription(subscription: dict[str, Any]) -> dict[str, Any]:
    retry = next(iter(subscription["retry_policy"]), None)
    dead_letter = next(iter(subscription["dead_letter_policy"]), None)
    push = next(iter(subscription["push_config"]), None)
    return {
        "topic": subscription["topic"],
        "ack_deadline_s": subscription["ack_deadline_seconds"],
        "retention_s": _seconds(subscription["message_retention_duration"]),
        "ttl_s": _seconds(subscription["expiration_policy"][0]["ttl"] or "0s"),
        "filter": subscription["filter"] or "",
        "ordering": bool(subscription["enable_message_ordering"]),
        "retry": retry and (_seconds(retry["minimum_backoff"]), _seconds(retry["maximum_backoff"])),
        "dead_letter": dead_letter and (dead_letter["dead_letter_topic"], dead_letter["max_delivery_attempts"]),
        "push": push and push["push_endpoint"],
    }


def _twin_subscriptions(server: PubsubServer) -> Facts:
    with grpc.insecure_channel(server.host) as channel:
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        subscriptions = list(subscriber.list_subscriptions(project=f"projects/{PROJECT}"))
    facts: Facts = {}
    for subscription in subscriptions:
        retry, dead_letter = subscription.retry_policy, subscription.dead_letter_policy
        facts[subscription.name] = {
            "topic": subscription.topic,
            "ack_deadline_s": subscription.ack_deadline_seconds,
            "retention_s": subscription.message_retention_duration.total_seconds(),
            "ttl_s": subscription.expiration_policy.ttl.total_seconds(),
            "filter": subscription.filter,
            "ordering": subscription.enable_message_ordering,
            "retry": (retry.minimum_backoff.total_seconds(), retry.maximum_backoff.total_seconds())
            if "retry_policy" in subscription
            else None,
            "dead_letter": (dead_letter.dead_letter_topic, dead_letter.max_delivery_attempts)
            if "dead_letter_policy" in subscription
            else None,
            "push": subscription.push_config.push_endpoint or None,
        }
    return facts


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
