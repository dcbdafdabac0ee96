"""Unused subscriptions are deleted after their time to live, on a clock that tests advance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from google.pubsub_v1 import types

from infra.local.pubsub.broker import Broker
from infra.local.pubsub.header_limits import HeaderLimits
from infra.local.pubsub.policy import complete
from infra.local.pubsub.refusal import Refusal
from infra.local.pubsub.resources import Topic
from infra.local.pubsub.streams import Signal
from infra.local.pubsub.subscriptions import Subscriber

DAY_S = 86_400.0
TOPIC, NAME = "projects/p/topics/topic", "projects/p/subscriptions/subscription"


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time can be put ahead."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s

    async def pass_by(self, days: float) -> None:
        """Let days pass, and what is due then happen."""
        self.ahead_s += days * DAY_S
        await asyncio.sleep(0.01)


class ExpiringSubscription:
    """A broker with one topic, and one subscription with an expiration policy."""

    def __init__(self, clock: Clock, **settings: Any) -> None:
        self.pass_by = clock.pass_by
        self.broker = Broker()
        self.subscriber = Subscriber(self.broker, HeaderLimits())
        self.broker.topics[TOPIC] = Topic(types.Topic.pb(types.Topic(name=TOPIC)))
        wanted = types.Subscription(name=NAME, topic=TOPIC, **settings)
        self.subscription = self.subscriber.CreateSubscription(types.Subscription.pb(wanted))

    @property
    def there(self) -> bool:
        return NAME in self.broker.subscriptions and NAME in self.broker.topics[TOPIC].subscriptions


def in_time(test: Callable[[Clock], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test on a clock of its own."""

    def run() -> None:
        clock = Clock()
        with asyncio.Runner(loop_factory=lambda: clock) as runner:
            runner.run(test(clock))

    return run


def lasting(days: float) -> dict[str, Any]:
    return {"expiration_policy": {"ttl": {"seconds": int(days * DAY_S)}}}


@in_time
async def test_it_is_deleted_when_nobody_uses_it(clock: Clock) -> None:
    expiring = ExpiringSubscription(clock, **lasting(2))
    await expiring.pass_by(1.99)
    assert expiring.there
    await expiring.pass_by(0.02)
    assert not expiring.there
    with pytest.raises(Refusal, match="not found"):
        expiring.broker.subscription(NAME)


@in_time
async def test_every_operation_restarts_the_time_to_live(clock: Clock) -> None:
    expiring = ExpiringSubscription(clock, **lasting(2))
    for _ in range(3):
        await expiring.pass_by(1.5)
        expiring.subscriber.GetSubscription(types.GetSubscriptionRequest(subscription=NAME))
    assert expiring.there
    await expiring.pass_by(2.1)
    assert not expiring.there


@in_time
async def test_an_open_stream_keeps_it_and_its_end_begins_the_time(clock: Clock) -> None:
    expiring = ExpiringSubscription(clock, **lasting(1))
    signal, backlog = Signal(), expiring.broker.subscriptions[NAME].backlog
    backlog.join(signal)
    for _ in range(5):
        await expiring.pass_by(1.1)
    backlog.leave(signal)
    await expiring.pass_by(0.9)
    assert expiring.there
    await expiring.pass_by(0.2)
    assert not expiring.there


@in_time
async def test_a_push_that_succeeds_is_a_use_and_one_that_fails_is_none(clock: Clock) -> None:
    expiring = ExpiringSubscription(clock, push_config={"push_endpoint": "http://127.0.0.1:1/"}, **lasting(1))
    backlog = expiring.broker.subscriptions[NAME].backlog
    await expiring.pass_by(0.9)
    backlog.ack(["1"])  # as the pusher does after a success
    await expiring.pass_by(0.9)
    assert expiring.there
    backlog.modify(["1"], [0])  # as after a failure
    await expiring.pass_by(0.2)
    assert not expiring.there


@in_time
async def test_without_a_ttl_it_never_expires(clock: Clock) -> None:
    expiring = ExpiringSubscription(clock, expiration_policy={})
    for _ in range(3):
        await expiring.pass_by(1000)
    assert expiring.there and not expiring.subscription.expiration_policy.HasField("ttl")


@in_time
async def test_silence_means_31_days(clock: Clock) -> None:
    expiring = ExpiringSubscription(clock)
    await expiring.pass_by(30.9)
    assert expiring.there
    await expiring.pass_by(0.2)
    assert not expiring.there


@in_time
async def test_another_policy_counts_from_the_update(clock: Clock) -> None:
    expiring = ExpiringSubscription(clock, **lasting(2))
    await expiring.pass_by(1)
    expiring.subscriber.UpdateSubscription(
        types.UpdateSubscriptionRequest.pb(
            types.UpdateSubscriptionRequest(
                subscription={"name": NAME, **lasting(5)}, update_mask={"paths": ["expiration_policy"]}
            )
        )
    )
    await expiring.pass_by(4.9)
    assert expiring.there
    await expiring.pass_by(0.2)
    assert not expiring.there


def test_a_time_to_live_under_a_day_is_refused() -> None:
    config = types.Subscription.pb(
        types.Subscription(name=NAME, topic=TOPIC, expiration_policy={"ttl": {"seconds": 60}})
    )
    with pytest.raises(Refusal, match=r"expiration_policy\.ttl is 60s; it must be at least 86400s"):
        complete(config)


def test_the_default_time_to_live_is_shown() -> None:
    config = types.Subscription.pb(types.Subscription(name=NAME, topic=TOPIC))
    complete(config)
    assert config.expiration_policy.ttl.seconds == 31 * DAY_S
    assert config.message_retention_duration.seconds == 7 * DAY_S
    assert config.ack_deadline_seconds == 10
