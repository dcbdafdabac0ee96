"""Topics and subscriptions: their settings and what depends on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.filter import Predicate, parse
from infra.local.pubsub.policy import policy_of, seconds_of
from infra.local.pubsub.push import Pusher
from infra.local.pubsub.retention import Log, retained
from infra.local.pubsub.token import Tokens


class Subscription:
    """A subscription: its settings, its backlog and, when it has a push endpoint, its pusher."""

    def __init__(
        self, config: Any, backlog: Backlog, tokens: Tokens, pushing: asyncio.Event, expire: Callable[[], None]
    ) -> None:
        self.backlog = backlog
        self._tokens, self._pushing = tokens, pushing
        self._expire = expire
        self._expiry: asyncio.TimerHandle | None = None
        self.matches: Predicate | None = parse(config.filter) if config.filter else None
        self._pusher: Pusher | None = None
        self.configure(config)

    @property
    def pushed(self) -> bool:
        """Whether it has a push endpoint, and so cannot be pulled."""
        return bool(self.config.push_config.push_endpoint)

    def configure(self, config: Any) -> None:
        """Apply new settings. The backlog stays, even when push becomes pull."""
        keep_s = seconds_of(config.message_retention_duration)
        self.backlog.acked = retained(self.backlog.acked, config.retain_acked_messages, keep_s)
        config.push_config.SetInParent()  # clients read it without a check, because the cloud always sends it
        self.config = config
        self.backlog.policy = policy_of(config)
        push = config.push_config
        if self._pusher and self._pusher.config != push:
            self._pusher.close()
            self._pusher = None
        if push.push_endpoint and not self._pusher and self._pushing.is_set():
            self._pusher = Pusher(config.name, push, self.backlog, self._tokens)
        self.backlog.wake_all()
        self._expire_when_idle()

    def _expire_when_idle(self) -> None:
        """Delete it when it has not been used for as long as its expiration policy says."""
        if self._expiry:
            self._expiry.cancel()
        if ttl_s := self.backlog.policy.ttl_s:
            left_s = ttl_s - self.backlog.idle_s()
            if left_s > 0:
                self._expiry = asyncio.get_running_loop().call_later(left_s, self._expire_when_idle)
            else:
                self._expire()

    def close(self) -> None:
        """Stop delivering and drop the backlog."""
        if self._expiry:
            self._expiry.cancel()
        if self._pusher:
            self._pusher.close()
        self.backlog.close()


@dataclass(slots=True)
class Topic:
    """A topic, its subscriptions by name, its retained messages, and the logs of its snapshots by name."""

    config: Any
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    retained: Log | None = None
    logs: dict[str, Log] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.configure(self.config)

    def configure(self, config: Any) -> None:
        """Apply new settings and copy the retention to the subscriptions."""
        self.config = config
        retention, wanted = config.message_retention_duration, config.HasField("message_retention_duration")
        self.retained = retained(self.retained, wanted, seconds_of(retention))
        for subscription in self.subscriptions.values():
            self.copy_retention_to(subscription.config)

    def copy_retention_to(self, config: Any) -> None:
        """Copy the topic's retention into the settings of a subscription, as the cloud does."""
        config.ClearField("topic_message_retention_duration")
        if self.retained is not None:
            config.topic_message_retention_duration.CopyFrom(self.config.message_retention_duration)
