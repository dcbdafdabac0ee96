"""What should be there: topology.yaml, under the names that a deployment gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from client.doctor.settings import Settings, seconds
from client.gcp import Cloud, UsageError
from client.text import plain


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic by its full name. `retention_s` 0: what was acked cannot be replayed."""

    name: str
    retention_s: float


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription by its full name. `path`: the worker's path when it is pushed, empty when it is always pulled."""

    name: str
    topic: str
    filter: str
    path: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Notification:
    """What a bucket tells a topic."""

    bucket: str
    topic: str
    event_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that is looked for."""

    topics: tuple[Topic, ...]
    subscriptions: tuple[Subscription, ...]
    notifications: tuple[Notification, ...]

    @classmethod
    def read(cls, path: Path, cloud: Cloud, prefix: str, buckets: Mapping[str, str]) -> Self:
        """Read topology.yaml. `prefix` is put before names as Terraform does; `buckets` are the real names by theirs.

        Raises UsageError.
        """
        import yaml

        def topic(key: str) -> str:
            return cloud.topic_path(prefix + key)

        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            return cls(
                tuple(Topic(topic(key), _retention(given)) for key, given in content["topics"].items()),
                tuple(
                    Subscription(
                        cloud.subscription_path(prefix + key),
                        topic(given["topic"]),
                        given.get("filter", ""),
                        given["path"] if given["delivery"] == "worker" else "",
                        Settings.wanted(given, topic),
                    )
                    for key, given in content["subscriptions"].items()
                ),
                tuple(
                    Notification(buckets[given["bucket"]], topic(given["topic"]), tuple(given["event_types"]))
                    for given in content["notifications"].values()
                ),
            )
        except OSError as exc:
            raise UsageError(f"--topology {path} cannot be read: {plain(exc)}") from exc
        except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as exc:
            raise UsageError(f"--topology {path} does not read as infra/topology.yaml does: {plain(exc)}") from exc


def _retention(given: Mapping[str, Any]) -> float:
    return seconds(given["retention"]) if "retention" in given else 0.0
