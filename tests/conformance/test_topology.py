"""The topology file: it is created as written on both backends, and errors in it are named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.admin import create
from infra.local.topology import SHIPPED, Topology, TopologyError
from tests.brokers import Cloud


def test_the_topology_is_created(cloud: Cloud) -> None:
    create(Topology.read(), cloud.host, cloud.project, push_to="http://127.0.0.1:9/")
    prefix = f"projects/{cloud.project}"
    topics = cloud.publisher.list_topics(project=prefix)
    assert {topic.name.removeprefix(f"{prefix}/topics/") for topic in topics} == {
        "req_predict",
        "res_predict",
        "dead_predict",
        "compare_predict",
        "req_train",
    }
    listed = cloud.subscriber.list_subscriptions(project=prefix)
    found = {each.name.removeprefix(f"{prefix}/subscriptions/"): each for each in listed}
    assert set(found) == {
        "req_predict-sub",
        "res_predict-sub",
        "dead_predict-sub",
        "dead_predict-announce",
        "compare_predict-sub",
        "req_train-sub",
    }
    requests = found["req_predict-sub"]
    assert requests.topic == f"{prefix}/topics/req_predict"
    assert requests.push_config.push_endpoint == "http://127.0.0.1:9/"
    assert requests.ack_deadline_seconds == 60
    assert requests.retry_policy.minimum_backoff.total_seconds() == 10
    assert requests.retry_policy.maximum_backoff.total_seconds() == 600
    assert requests.dead_letter_policy.dead_letter_topic == f"{prefix}/topics/dead_predict"
    assert requests.dead_letter_policy.max_delivery_attempts == 20
    assert requests.expiration_policy.ttl.total_seconds() == 0  # never
    assert found["dead_predict-announce"].push_config.push_endpoint == "http://127.0.0.1:9/dead"
    assert not found["res_predict-sub"].push_config.push_endpoint
    assert "dead_letter_policy" not in found["dead_predict-sub"]


def test_without_a_worker_all_subscriptions_are_pull(cloud: Cloud) -> None:
    create(Topology.read(), cloud.host, cloud.project)
    listed = list(cloud.subscriber.list_subscriptions(project=f"projects/{cloud.project}"))
    assert len(listed) == 6
    assert not any(each.push_config.push_endpoint for each in listed)


def test_retry_can_be_shortened_for_tests() -> None:
    before, after = Topology.read(), Topology.read().with_retry(0.1, 0.2, 5)
    for old, new in zip(before.subscriptions, after.subscriptions, strict=True):
        if old.minimum_backoff_s is None:
            assert new.minimum_backoff_s is None
        else:
            assert (new.minimum_backoff_s, new.maximum_backoff_s) == (0.1, 0.2)
        assert new.max_delivery_attempts == (5 if old.dead_letter_topic else 0)


WRONG: list[tuple[list[str], Any, str]] = [
    (["topics", "req_predict", "retention"], "1 day", "req_predict.retention is '1 day'; it must be a duration"),
    (["topics", "req_predict", "retentoin"], "60s", "req_predict.retentoin is unknown; known fields are retention"),
    (["subscriptions", "req_predict-sub", "topic"], "req", "-sub.topic is 'req'; it must be one of req_predict"),
    (["subscriptions", "req_predict-sub", "delivery"], "push", "delivery is 'push'; it must be one of worker, pull"),
    (["subscriptions", "req_predict-sub", "path"], "dead", "path is 'dead'; it must be a path such as /dead"),
    (["subscriptions", "req_predict-sub", "ack_deadline_seconds"], 5, "is 5; it must be a whole number from 10 to 600"),
    (["subscriptions", "req_predict-sub", "ack_deadline_seconds"], True, "is True; it must be a whole number"),
    (["subscriptions", "req_predict-sub", "retry", "minimum_backoff"], 10, "retry.minimum_backoff is 10; it must be a"),
    (["subscriptions", "req_predict-sub", "dead_letter", "max_delivery_attempts"], 3, "is 3; it must be a whole"),
    (["subscriptions", "res_predict-sub"], None, "subscriptions.res_predict-sub is None; it must be a mapping"),
    (["notifications", "uploads", "bucket"], "downloads", "uploads.bucket is 'downloads'; it must be one"),
    (["notifications", "uploads", "event_types"], "all", "event_types is 'all'; it must be a list of texts"),
    (["queues"], {}, "queues is unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "words"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_values_are_named(path: list[str], value: object, words: str) -> None:
    content = copy.deepcopy(yaml.safe_load(SHIPPED.read_text()))
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(TopologyError) as caught:
        Topology.parse(content)
    assert words in str(caught.value)


def test_a_missing_field_is_named() -> None:
    content = yaml.safe_load(SHIPPED.read_text())
    del content["subscriptions"]["dead_predict-announce"]["path"]
    with pytest.raises(TopologyError, match=r"^subscriptions\.dead_predict-announce\.path is missing$"):
        Topology.parse(content)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"absent\.yaml cannot be read"):
        Topology.read(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("topics: [")
    with pytest.raises(TopologyError, match=r"broken\.yaml cannot be read"):
        Topology.read(broken)
    broken.write_text("- a list")
    with pytest.raises(TopologyError, match=r"^broken\.yaml: the file is \['a list'\]; it must be a mapping$"):
        Topology.read(broken)
