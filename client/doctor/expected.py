"""The resources that should exist: topology.yaml, under the names that a deployment gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from client.doctor.subscription_settings import SubscriptionSettings, seconds
from client.gcp import Cloud, UsageError
from client.text import plain
from model.text import quoted, read_text

_RESPONSES, _COMPARISONS = "res_predict", "compare_predict"
"""The topics of responses and of comparisons in topology.yaml."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic by its full name. `retention_s` is the time in seconds that acked messages can be replayed."""

    name: str
    retention_s: float


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription by its full name. `path` is the worker's path if it is pushed, empty if it is always pulled."""

    name: str
    topic: str
    filter: str
    path: str
    settings: SubscriptionSettings


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification of a bucket to a topic."""

    bucket: str
    topic: str
    event_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """All resources to check. `responses` and `comparisons` are the full names of these topics."""

    topics: tuple[Topic, ...]
    subscriptions: tuple[Subscription, ...]
    notifications: tuple[Notification, ...]
    responses: str = ""
    comparisons: str = ""

    @classmethod
    def read(cls, path: Path, cloud: Cloud, prefix: str, buckets: Mapping[str, str]) -> Self:
        """Read topology.yaml. Raises UsageError.

        `prefix` precedes all names, as in Terraform, but not the full `name` that a topic has in Terraform's output
        `topology`. `buckets` holds the real name of each bucket in the file.
        """
        import yaml

        def topic(key: str) -> str:
            return (content["topics"].get(key) or {}).get("name") or cloud.topic_path(prefix + key)

        try:
            content = yaml.safe_load(read_text(path))
            return cls(
                tuple(Topic(topic(key), _retention(given)) for key, given in content["topics"].items()),
                tuple(
                    Subscription(
                        cloud.subscription_path(prefix + key),
                        topic(given["topic"]),
                        given.get("filter", ""),
                        given["path"] if given["delivery"] == "worker" else "",
                        SubscriptionSettings.expected(given, topic),
                    )
                    for key, given in content["subscriptions"].items()
                ),
                tuple(
                    Notification(buckets[given["bucket"]], topic(given["topic"]), _list(given, "event_types"))
                    for given in content["notifications"].values()
                ),
                topic(_RESPONSES),
                topic(_COMPARISONS),
            )
        except OSError as exc:
            raise UsageError(f"--topology {path} cannot be read: {plain(exc)}") from exc
        except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as exc:
            raise UsageError(f"--topology {path} does not have the form of infra/topology.yaml: {plain(exc)}") from exc


def _retention(given: Mapping[str, Any]) -> float:
    return seconds(given["retention"]) if "retention" in given else 0.0


def _list(given: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of strings. A single string would otherwise pass for the list of its characters."""
    if not isinstance(given[key], list):
        raise ValueError(f"{key} is {quoted(given[key])}; it must be a list")
    return tuple(given[key])
