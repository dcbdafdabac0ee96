"""The settings of a subscription, from topology.yaml or from Pub/Sub, as text for a report and as flags for gcloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """The settings; all times are in seconds.

    `ttl_s` 0 means that the subscription never expires. `retry_s` is the minimum and the maximum backoff.
    `dead_letters` is the dead-letter topic and the number of delivery attempts.
    """

    ack_deadline_s: int
    retention_s: float
    ttl_s: float
    retry_s: tuple[float, float] | None
    dead_letters: tuple[str, int] | None

    @classmethod
    def expected(cls, given: Mapping[str, Any], topic_path: Callable[[str], str]) -> Self:
        """Read a subscription's entry in topology.yaml. `topic_path` returns the full name of a topic."""
        retry, dead = given.get("retry"), given.get("dead_letter")
        return cls(
            given["ack_deadline_seconds"],
            seconds(given["retention"]),
            0.0,
            (seconds(retry["minimum_backoff"]), seconds(retry["maximum_backoff"])) if retry else None,
            (topic_path(dead["topic"]), dead["max_delivery_attempts"]) if dead else None,
        )

    @classmethod
    def found(cls, subscription: Any) -> Self:
        """Read a subscription as Pub/Sub describes it."""
        retry, dead = subscription.retry_policy, subscription.dead_letter_policy
        backoff = retry.minimum_backoff.total_seconds(), retry.maximum_backoff.total_seconds()
        return cls(
            subscription.ack_deadline_seconds,
            subscription.message_retention_duration.total_seconds(),
            subscription.expiration_policy.ttl.total_seconds(),
            backoff if "retry_policy" in subscription else None,
            (dead.dead_letter_topic, dead.max_delivery_attempts) if dead.dead_letter_topic else None,
        )

    def described(self) -> dict[str, str]:
        """Return each setting's value as text, by its name."""
        retry, dead = self.retry_s, self.dead_letters
        return {
            "ack deadline": duration(self.ack_deadline_s),
            "retention": duration(self.retention_s),
            "expiration": duration(self.ttl_s) if self.ttl_s else "never",
            "retry": f"{duration(retry[0])} to {duration(retry[1])}" if retry else "immediately",
            "dead-letter policy": f"{short(dead[0])} after {dead[1]} attempts" if dead else "none",
        }

    def flags(self) -> dict[str, list[str]]:
        """Return the flags of `gcloud pubsub subscriptions update` that apply each setting, by its name."""
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
    """Parse a duration such as 10s. Raises ValueError."""
    return float(text.removesuffix("s"))


def duration(s: float) -> str:
    """Format seconds as topology.yaml and gcloud do: 10s."""
    return f"{s:.0f}s" if s == int(s) else f"{s}s"


def short(name: str) -> str:
    """Return the last part of a full resource name."""
    return name.rpartition("/")[2]
