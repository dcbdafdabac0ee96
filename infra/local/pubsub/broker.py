"""The broker: holds all topics and subscriptions, and delivers a published message to every subscription."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.lease import PendingMessage
from infra.local.pubsub.offers import Offer, Offers
from infra.local.pubsub.ordering import backlog
from infra.local.pubsub.policy import policy_of
from infra.local.pubsub.refusal import Refusal, check_name, not_found
from infra.local.pubsub.resources import Subscription, Topic
from infra.local.pubsub.retention import Snapshot
from infra.local.pubsub.stored_message import StoredMessage
from infra.local.pubsub.token import Tokens

# Topic of a subscription whose topic was deleted, as in the cloud.
DELETED_TOPIC = "_deleted-topic_"


class Broker:
    """All topics and subscriptions, by full name. New ids start at `first_id` or the time, whichever is larger."""

    def __init__(self, make_backlog: Callable[..., Backlog] = backlog, first_id: int = 0) -> None:
        self._make_backlog = make_backlog
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.tokens = Tokens()
        self.offers = Offers()
        self._pushing = asyncio.Event()
        # Microseconds since the epoch, so that an id of an earlier run or of a deleted subscription never repeats.
        self._ids = itertools.count(max(first_id, time.time_ns() // 1000))

    def topic(self, name: str) -> Topic:
        """The topic of this name. Refuses with NOT_FOUND, or with INVALID_ARGUMENT when the name is malformed."""
        if name not in self.topics:
            if name != DELETED_TOPIC:
                check_name("topics", name)
            raise not_found(name)
        return self.topics[name]

    def subscription(self, name: str) -> Subscription:
        """The subscription of this name. Refuses with NOT_FOUND, or with INVALID_ARGUMENT when it is malformed."""
        if name not in self.subscriptions:
            check_name("subscriptions", name)
            raise not_found(name)
        self.subscriptions[name].backlog.touch()
        return self.subscriptions[name]

    def subscribe(self, config: Any) -> Subscription:
        """Create a subscription from checked settings and attach it to its topic."""
        self.topic(config.topic)
        if config.HasField("dead_letter_policy"):
            self.topic(config.dead_letter_policy.dead_letter_topic)
        return self.attach(config)

    def attach(self, config: Any) -> Subscription:
        """Create a subscription from checked settings. Its topics may have been deleted since the check."""

        def forward(held: PendingMessage) -> bool:
            return self._dead_letter(subscription, held)

        held = self._make_backlog(config.enable_message_ordering, policy_of(config), forward, self._ids)
        expire = partial(self.unsubscribe, config.name)
        subscription = Subscription(config, held, self.tokens, self._pushing, expire)
        self.subscriptions[config.name] = subscription
        if topic := self.topics.get(config.topic):
            topic.copy_retention_to(config)
            topic.subscriptions[config.name] = subscription
        return subscription

    def hold(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, which also receives what is published to its topic from now on."""
        name, topic = snapshot.config.name, self.topics.get(snapshot.config.topic)
        self.snapshots[name] = snapshot
        if topic:
            topic.logs[name] = snapshot.log

    def unsubscribe(self, name: str) -> None:
        """Delete a subscription and its messages."""
        subscription = self.subscription(name)
        del self.subscriptions[name]
        if topic := self.topics.get(subscription.config.topic):
            topic.subscriptions.pop(name, None)
        subscription.close()

    def detach(self, name: str) -> None:
        """Detach a subscription from its topic: it remains, without messages, and cannot be pulled."""
        subscription = self.subscription(name)
        if topic := self.topics.get(subscription.config.topic):
            topic.subscriptions.pop(name, None)
        subscription.config.detached = True
        subscription.close()

    def publish(self, name: str, messages: list[Any]) -> list[str]:
        """Give checked messages ids and times, and offer them to every subscription whose filter they match."""
        topic = self.topic(name)
        ids: list[str] = []
        offers: list[Offer] = []
        now = Timestamp()
        now.GetCurrentTime()
        published_ns = now.ToNanoseconds()
        for message in messages:
            number = next(self._ids)
            message.message_id = str(number)
            message.publish_time.CopyFrom(now)
            ids.append(message.message_id)
            kept = StoredMessage(number, message.SerializeToString(), published_ns, message.ordering_key)
            if topic.retained is not None:
                topic.retained.add(kept)
            for log in topic.logs.values():
                log.add(kept)
            for subscription in topic.subscriptions.values():
                if subscription.matches is None or subscription.matches(message.attributes):
                    subscription.backlog.index.add(kept)
                    offers.append((subscription.backlog, kept))
        self.offers.add(offers)
        return ids

    def push(self) -> None:
        """Start push delivery. Until then, messages for endpoints wait."""
        self._pushing.set()
        for subscription in self.subscriptions.values():
            subscription.configure(subscription.config)

    def close(self) -> None:
        """Stop every delivery."""
        for subscription in self.subscriptions.values():
            subscription.close()

    def _dead_letter(self, subscription: Subscription, held: PendingMessage) -> bool:
        """Publish a message to the dead-letter topic, with the attributes that name its source."""
        _, project, _, short = subscription.config.name.split("/")
        dead_letter = held.message.parse()
        published = dead_letter.publish_time.ToJsonString()
        dead_letter.attributes["CloudPubSubDeadLetterSourceSubscription"] = short
        dead_letter.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = project
        dead_letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = str(held.attempts)
        dead_letter.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = published
        try:
            self.publish(subscription.backlog.policy.dead_letter_topic, [dead_letter])
        except Refusal:
            return False
        return True
