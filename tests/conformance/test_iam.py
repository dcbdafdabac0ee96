"""IAM policies of topics and subscriptions: stored, guarded by etags, deleted with their resource."""

from __future__ import annotations

import pytest
from google.api_core import exceptions

from tests.brokers import Cloud

MEMBER = "serviceAccount:worker@example.com"
BINDING = {"role": "roles/pubsub.publisher", "members": [MEMBER]}


@pytest.mark.parametrize("kind", ["topics", "subscriptions", "snapshots"])
def test_a_policy_is_kept(cloud: Cloud, kind: str) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    snapshot = f"projects/{cloud.project}/snapshots/kept"
    cloud.subscriber.create_snapshot(name=snapshot, subscription=subscription)
    client = cloud.publisher if kind == "topics" else cloud.subscriber
    name = {"topics": topic, "subscriptions": subscription, "snapshots": snapshot}[kind]
    policy = client.get_iam_policy(request={"resource": name})
    assert not policy.bindings and policy.etag
    policy.bindings.add(role=BINDING["role"], members=[MEMBER])
    answered = client.set_iam_policy(request={"resource": name, "policy": policy})
    assert answered.etag != policy.etag
    kept = client.get_iam_policy(request={"resource": name})
    assert kept == answered
    assert [(each.role, list(each.members)) for each in kept.bindings] == [(BINDING["role"], [MEMBER])]


def test_a_stale_etag_is_aborted(cloud: Cloud) -> None:
    topic = cloud.topic()
    first = cloud.publisher.set_iam_policy(request={"resource": topic, "policy": {"bindings": [BINDING]}})
    second = cloud.publisher.set_iam_policy(request={"resource": topic, "policy": first})
    with pytest.raises(exceptions.Aborted):
        cloud.publisher.set_iam_policy(request={"resource": topic, "policy": {"etag": first.etag}})
    assert cloud.publisher.get_iam_policy(request={"resource": topic}) == second
    cloud.publisher.set_iam_policy(request={"resource": topic, "policy": {}})  # without an etag: whatever it was
    assert not cloud.publisher.get_iam_policy(request={"resource": topic}).bindings


def test_a_new_topic_of_an_old_name_has_no_policy(cloud: Cloud) -> None:
    topic = cloud.topic()
    cloud.publisher.set_iam_policy(request={"resource": topic, "policy": {"bindings": [BINDING]}})
    cloud.publisher.delete_topic(topic=topic)
    cloud.topic()
    assert not cloud.publisher.get_iam_policy(request={"resource": topic}).bindings


def test_a_policy_of_a_missing_resource_is_not_found(cloud: Cloud) -> None:
    topic = f"projects/{cloud.project}/topics/absent"
    for call in (cloud.publisher.get_iam_policy, cloud.publisher.set_iam_policy, cloud.publisher.test_iam_permissions):
        with pytest.raises(exceptions.NotFound, match="absent"):
            call(request={"resource": topic})


@pytest.mark.parametrize(
    "policy",
    [
        {"bindings": [{"role": "publisher", "members": [MEMBER]}]},
        {"bindings": [{"role": "roles/pubsub.publisher", "members": ["worker"]}]},
        {"bindings": [{"role": "roles/pubsub.publisher"}]},
        {"bindings": [{**BINDING, "condition": {"expression": "true"}}], "version": 1},
        {"version": 2},
    ],
    ids=["role", "member", "nobody", "condition", "version"],
)
def test_a_wrong_policy_is_refused(cloud: Cloud, policy: dict[str, object]) -> None:
    topic = cloud.topic()
    with pytest.raises(exceptions.InvalidArgument):
        cloud.publisher.set_iam_policy(request={"resource": topic, "policy": policy})
    assert not cloud.publisher.get_iam_policy(request={"resource": topic}).bindings


def test_permissions_are_tested(cloud: Cloud) -> None:
    topic = cloud.topic()
    wanted = ["pubsub.topics.publish", "pubsub.topics.get"]
    answer = cloud.publisher.test_iam_permissions(request={"resource": topic, "permissions": wanted})
    assert list(answer.permissions) == wanted
    for wrong in ("pubsub.*", "pubsub.subscriptions.consume"):
        with pytest.raises(exceptions.InvalidArgument, match="Permission"):
            cloud.publisher.test_iam_permissions(request={"resource": topic, "permissions": [wrong]})
