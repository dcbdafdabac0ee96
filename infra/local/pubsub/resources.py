"""A topic and a subscription: their settings, and what hangs on these."""

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
    """One subscription: its settings, its backlog and, when it is pushed, its pusher."""

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
        """Whether it is pushed, and so cannot be pulled."""
        return bool(self.config.push_config.push_endpoint)

    def configure(self, config: Any) -> None:
        """Take over new settings in place: the backlog stays, also when push becomes pull."""
        keep_s = seconds_of(config.message_retention_duration)
        self.backlog.acked = retained(self.backlog.acked, config.retain_acked_messages, keep_s)
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
        """Have it deleted when nobody has used it for as long as its expiration policy says."""
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
    """One topic, its subscriptions by name, what it retains, and what its snapshots, by name, add up."""

    config: Any
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    retained: Log | None = None
    logs: dict[str, Log] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.configure(self.config)

    def configure(self, config: Any) -> None:
        """Take over new settings and tell the subscriptions how long messages are retained."""
        self.config = config
        retention, wanted = config.message_retention_duration, config.HasField("message_retention_duration")
        self.retained = retained(self.retained, wanted, seconds_of(retention))
        for subscription in self.subscriptions.values():
            self.tell(subscription.config)

    def tell(self, config: Any) -> None:
        """Put the topic's retention into the settings of a subscription, as the cloud does."""
        config.ClearField("topic_message_retention_duration")
        if self.retained is not None:
            config.topic_message_retention_duration.CopyFrom(self.config.message_retention_duration)
