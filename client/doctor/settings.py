"""A subscription's settings, from topology.yaml or from Pub/Sub, as words for people and as flags for gcloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds. `ttl_s` 0: never expires. `retry_s`: shortest and longest wait. `dead_letters`: topic, attempts."""

    ack_deadline_s: int
    retention_s: float
    ttl_s: float
    retry_s: tuple[float, float] | None
    dead_letters: tuple[str, int] | None

    @classmethod
    def wanted(cls, given: Mapping[str, Any], full: Callable[[str], str]) -> Self:
        """As a subscription stands in topology.yaml; `full` gives the full name of a topic there."""
        retry, dead = given.get("retry"), given.get("dead_letter")
        return cls(
            given["ack_deadline_seconds"],
            seconds(given["retention"]),
            0.0,
            (seconds(retry["minimum_backoff"]), seconds(retry["maximum_backoff"])) if retry else None,
            (full(dead["topic"]), dead["max_delivery_attempts"]) if dead else None,
        )

    @classmethod
    def found(cls, subscription: Any) -> Self:
        """As Pub/Sub describes a subscription."""
        retry, dead = subscription.retry_policy, subscription.dead_letter_policy
        backoff = retry.minimum_backoff.total_seconds(), retry.maximum_backoff.total_seconds()
        return cls(
            subscription.ack_deadline_seconds,
            subscription.message_retention_duration.total_seconds(),
            subscription.expiration_policy.ttl.total_seconds(),
            backoff if "retry_policy" in subscription else None,
            (dead.dead_letter_topic, dead.max_delivery_attempts) if dead.dead_letter_topic else None,
        )

    def words(self) -> dict[str, str]:
        """Each setting by its name."""
        retry, dead = self.retry_s, self.dead_letters
        return {
            "ack deadline": duration(self.ack_deadline_s),
            "retention": duration(self.retention_s),
            "expiration": duration(self.ttl_s) if self.ttl_s else "never",
            "retry": f"{duration(retry[0])} to {duration(retry[1])}" if retry else "at once",
            "dead-letter policy": f"{short(dead[0])} after {dead[1]} attempts" if dead else "none",
        }

    def flags(self) -> dict[str, list[str]]:
        """What makes each setting so, for `gcloud pubsub subscriptions update`."""
        retry, dead = self.retry_s, self.dead_letters
        return {
            "ack deadline": [f"--ack-deadline={self.ack_deadline_s}"],
            "retention": [f"--message-retention-duration={duration(self.retention_s)}"],
            "expiration": [f"--expiration-period={duration(self.ttl_s) if self.ttl_s else 'never'}"],
            "retry": [f"--min-retry-delay={duration(retry[0])}", f"--max-retry-delay={duration(retry[1])}"]
            if retry
            else ["--clear-retry-policy"],
            "dead-letter policy": [f"--dead-letter-topic={short(dead[0])}", f"--max-delivery-attempts={dead[1]}"]
            if dead
            else ["--clear-dead-letter-policy"],
        }


def seconds(text: str) -> float:
    """A duration such as 10s. Raises ValueError."""
    return float(text.removesuffix("s"))


def duration(s: float) -> str:
    """Seconds as topology.yaml and gcloud write them."""
    return f"{s:.0f}s" if s == int(s) else f"{s}s"


def short(name: str) -> str:
    """The last part of a full name."""
    return name.rpartition("/")[2]
