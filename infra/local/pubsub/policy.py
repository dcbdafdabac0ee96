"""Settings of a subscription: checks them, fills in the cloud's defaults, and derives the delivery policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.local.pubsub.filter import BadFilter, parse
from infra.local.pubsub.limits import check_labels
from infra.local.pubsub.refusal import check_name, invalid, not_covered

IMMUTABLE = frozenset(
    {
        "name", "topic", "filter", "enable_message_ordering", "detached", "state", "tags",
        "topic_message_retention_duration", "analytics_hub_subscription_info",
    }
)  # fmt: skip
# Settings that this server does not support.
_NOT_COVERED = (
    "bigquery_config",
    "cloud_storage_config",
    "bigtable_config",
)
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Policy:
    """How one subscription delivers, in seconds. `max_attempts` 0: no dead letters; `ttl_s` 0: no expiry."""

    ack_deadline_s: float
    minimum_backoff_s: float = 0.0
    maximum_backoff_s: float = 0.0
    max_attempts: int = 0
    dead_letter_topic: str = ""
    exactly_once: bool = False
    retention_s: float = 7 * _DAY_S
    ttl_s: float = 0.0

    def delay_s(self, attempts: int) -> float:
        """Seconds that a message waits after its n-th failed delivery: doubling from the minimum to the maximum."""
        return min(self.maximum_backoff_s, self.minimum_backoff_s * 2.0 ** min(attempts - 1, 30))

    def is_last(self, attempts: int) -> bool:
        """Whether a message becomes a dead letter after this number of failed deliveries."""
        return 0 < self.max_attempts <= attempts


def policy_of(config: Any) -> Policy:
    """The delivery policy of a checked Subscription."""
    retry, dead = config.retry_policy, config.dead_letter_policy
    if config.HasField("retry_policy"):
        minimum, maximum = seconds_of(retry.minimum_backoff), seconds_of(retry.maximum_backoff)
    elif config.push_config.push_endpoint:
        # The cloud's default push backoff, which spares an endpoint that is down.
        minimum, maximum = 0.1, 60.0
    else:
        minimum = maximum = 0.0
    return Policy(
        config.ack_deadline_seconds, minimum, maximum, dead.max_delivery_attempts if dead.dead_letter_topic else 0,
        dead.dead_letter_topic, config.enable_exactly_once_delivery,
        seconds_of(config.message_retention_duration), seconds_of(config.expiration_policy.ttl),
    )  # fmt: skip


def complete(config: Any) -> None:
    """Check a Subscription and fill in the cloud's defaults. Refuses wrong or unsupported settings."""
    check_name("subscriptions", config.name)
    for field in _NOT_COVERED:
        if config.HasField(field):
            raise not_covered(field)
    check_transforms(config)
    check_labels(config.labels)
    config.ClearField("tags")  # the cloud returns none
    endpoint = config.push_config.push_endpoint
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise invalid(f"Invalid push endpoint given (endpoint={endpoint}). It must start with http:// or https://")
    if endpoint and config.enable_exactly_once_delivery:
        raise invalid("enable_exactly_once_delivery needs a subscription that is pulled; this one has a push endpoint")
    if config.push_config.HasField("oidc_token") and not config.push_config.oidc_token.service_account_email:
        raise invalid("push_config.oidc_token has no service_account_email, which the token must name")
    config.ack_deadline_seconds = config.ack_deadline_seconds or 10
    if not 10 <= config.ack_deadline_seconds <= 600:
        raise invalid(f"ack_deadline_seconds is {config.ack_deadline_seconds}; it must be from 10 to 600")
    check_retention(config)
    if not config.HasField("message_retention_duration"):
        config.message_retention_duration.seconds = 7 * _DAY_S
    if not config.HasField("expiration_policy"):
        config.expiration_policy.ttl.seconds = 31 * _DAY_S
    if config.expiration_policy.HasField("ttl") and (ttl_s := seconds_of(config.expiration_policy.ttl)) < _DAY_S:
        raise invalid(f"expiration_policy.ttl is {ttl_s:g}s; it must be at least {_DAY_S}s, or absent for never")
    _complete_retry(config)
    _complete_dead_letter(config)
    if config.filter:
        try:
            parse(config.filter)
        except BadFilter as exc:
            raise invalid(f"Invalid filter: {exc}") from exc
    config.state = 1  # ACTIVE


def check_retention(config: Any) -> None:
    """Refuse a Topic or a Subscription that keeps messages for less than 10 minutes or more than 31 days."""
    if config.HasField("message_retention_duration"):
        seconds = seconds_of(config.message_retention_duration)
        if not 600 <= seconds <= 31 * _DAY_S:
            raise invalid(f"message_retention_duration is {seconds:g}s; it must be from 600s to {31 * _DAY_S}s")


def check_transforms(config: Any) -> None:
    """Refuse a Topic or a Subscription with message transforms that are in effect; this server runs none."""
    for number, transform in enumerate(config.message_transforms):
        kind = transform.WhichOneof("transform")
        if not kind:
            raise invalid(f"message_transforms[{number}] has no transform")
        if not transform.disabled:
            function = f" ({transform.javascript_udf.function_name})" if kind == "javascript_udf" else ""
            raise not_covered(f"message_transforms[{number}].{kind}{function}, unless it is disabled,")


def _complete_retry(config: Any) -> None:
    if not config.HasField("retry_policy"):
        return
    retry = config.retry_policy
    if not retry.HasField("minimum_backoff"):
        retry.minimum_backoff.seconds = 10
    if not retry.HasField("maximum_backoff"):
        retry.maximum_backoff.seconds = 600
    minimum, maximum = seconds_of(retry.minimum_backoff), seconds_of(retry.maximum_backoff)
    if not 0 <= minimum <= maximum <= 600:
        raise invalid(f"retry_policy is {minimum:g}s to {maximum:g}s; it must be within 0s to 600s, the minimum first")


def _complete_dead_letter(config: Any) -> None:
    if not config.HasField("dead_letter_policy"):
        return
    dead = config.dead_letter_policy
    check_name("topics", dead.dead_letter_topic)
    dead.max_delivery_attempts = dead.max_delivery_attempts or 5
    if not 5 <= dead.max_delivery_attempts <= 100:
        raise invalid(f"max_delivery_attempts is {dead.max_delivery_attempts}; it must be from 5 to 100")


def seconds_of(duration: Any) -> float:
    """A protobuf Duration in seconds."""
    return float(duration.seconds + duration.nanos / 1e9)
