"""The Subscriber service: subscriptions, pull, streaming pull, acks and deadlines."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from infra.local.pubsub import wire
from infra.local.pubsub.broker import Broker
from infra.local.pubsub.exactly_once import check_nameable, check_stale
from infra.local.pubsub.header_limits import HeaderLimits
from infra.local.pubsub.masks import merged
from infra.local.pubsub.policy import IMMUTABLE, complete
from infra.local.pubsub.refusal import Refusal, already_exists, invalid
from infra.local.pubsub.resources import Subscription
from infra.local.pubsub.snapshots import Snapshots
from infra.local.pubsub.streams import Signal, Stream, fill

# Seconds that a pull waits for a first message before it returns none.
_PULL_WAIT_S = 10.0


class Subscriber(Snapshots):
    """The methods of google.pubsub.v1.Subscriber, by their names there. `limits`: of clients' connections."""

    def __init__(self, broker: Broker, limits: HeaderLimits) -> None:
        super().__init__(broker)
        self._limits = limits

    def CreateSubscription(self, request: Any) -> Any:
        request.detached = False
        complete(request)
        if request.name in self._broker.subscriptions:
            raise already_exists(request.name)
        return self._broker.subscribe(request).config

    def GetSubscription(self, request: Any) -> Any:
        return self._broker.subscription(request.subscription).config

    def UpdateSubscription(self, request: Any) -> Any:
        subscription = self._broker.subscription(request.subscription.name)
        config = merged(subscription.config, request.subscription, request.update_mask, immutable=IMMUTABLE)
        complete(config)
        if config.HasField("dead_letter_policy"):
            self._broker.topic(config.dead_letter_policy.dead_letter_topic)
        subscription.configure(config)
        return config

    def ModifyPushConfig(self, request: Any) -> Any:
        subscription = self._broker.subscription(request.subscription)
        config = wire.Subscription()
        config.CopyFrom(subscription.config)
        config.push_config.CopyFrom(request.push_config)
        complete(config)
        subscription.configure(config)
        return wire.Empty()

    def ListSubscriptions(self, request: Any) -> Any:
        prefix = f"{request.project}/subscriptions/"
        names = sorted(name for name in self._broker.subscriptions if name.startswith(prefix))
        names, token = wire.page(names, request.page_size, request.page_token)
        configs = [self._broker.subscriptions[name].config for name in names]
        return wire.ListSubscriptionsResponse(subscriptions=configs, next_page_token=token)

    def DeleteSubscription(self, request: Any) -> Any:
        self._broker.unsubscribe(request.subscription)
        return wire.Empty()

    async def Acknowledge(self, request: Any, context: Any) -> Any:
        if not request.ack_ids:
            raise invalid("There are no ack_ids")
        backlog = self._broker.subscription(request.subscription).backlog
        check_nameable(backlog, request.ack_ids, self._limits.details_bytes(context.peer()))
        check_stale(backlog, backlog.ack(request.ack_ids))
        return wire.Empty()

    async def ModifyAckDeadline(self, request: Any, context: Any) -> Any:
        if not request.ack_ids:
            raise invalid("There are no ack_ids")
        seconds = request.ack_deadline_seconds
        if not 0 <= seconds <= 600:
            raise invalid(f"ack_deadline_seconds is {seconds}; it must be from 0 to 600")
        backlog = self._broker.subscription(request.subscription).backlog
        check_nameable(backlog, request.ack_ids, self._limits.details_bytes(context.peer()))
        check_stale(backlog, backlog.modify(request.ack_ids, [seconds] * len(request.ack_ids)))
        return wire.Empty()

    async def Pull(self, request: Any, context: Any) -> Any:
        if request.max_messages < 1:
            raise invalid(f"max_messages is {request.max_messages}; it must be at least 1")
        subscription = self._pullable(request.subscription)
        wait = 0.0 if request.return_immediately else _PULL_WAIT_S
        if (remaining := context.time_remaining()) is not None:
            wait = min(wait, remaining * 0.9)  # an empty response in time, because an exceeded deadline is an error
        self._broker.offers.make_all()  # a pull gets everything published before
        signal = Signal()
        subscription.backlog.join(signal)
        try:
            async with asyncio.timeout(wait or None):
                while not (leases := subscription.backlog.take(signal, request.max_messages)) and wait:
                    await signal.wait()
                    _check(subscription)
        except TimeoutError:
            leases = []
        finally:
            subscription.backlog.leave(signal)
        return fill(wire.PullResponse(), leases, subscription)

    async def StreamingPull(self, requests: Any, context: Any) -> None:
        first = await anext(aiter(requests), None)
        if first is None:
            return
        subscription = self._pullable(first.subscription)
        stream = Stream(subscription, first)
        reading = asyncio.create_task(_read(stream, requests))
        try:
            while not reading.done():
                _check(subscription)
                if (response := stream.respond()) is not None:
                    await context.write(response)
                else:
                    await stream.wait()
            reading.result()
        finally:
            stream.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _pullable(self, name: str) -> Subscription:
        subscription = self._broker.subscription(name)
        _check(subscription)
        return subscription


def _check(subscription: Subscription) -> None:
    """Refuse to pull a subscription that is detached, deleted or has a push endpoint."""
    if subscription.config.detached:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"Subscription {subscription.config.name} is detached")
    if subscription.backlog.closed:
        raise Refusal(grpc.StatusCode.NOT_FOUND, f"Subscription {subscription.config.name} was deleted")
    if subscription.pushed:
        raise Refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"Subscription {subscription.config.name} has a push endpoint, so it cannot be pulled",
        )


async def _read(stream: Stream, requests: Any) -> None:
    try:
        async for request in requests:
            stream.apply(request)
    finally:
        stream.wake()
