"""The snapshot methods of the Subscriber service: snapshots, and seeking to a snapshot or a time."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

import grpc

from infra.local.pubsub import wire
from infra.local.pubsub.broker import Broker
from infra.local.pubsub.limits import check_labels
from infra.local.pubsub.masks import merged
from infra.local.pubsub.refusal import Refusal, already_exists, check_name, invalid, not_found
from infra.local.pubsub.resources import Subscription
from infra.local.pubsub.retention import Log, Snapshot
from infra.local.pubsub.stored_message import StoredMessage

# A snapshot lives 7 days less the age of its oldest message. It is refused when less than an hour remains.
_LIFE_S, _LEAST_S = 7 * 86_400.0, 3600.0


class Snapshots:
    """The methods of google.pubsub.v1.Subscriber about snapshots, by their names there."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def CreateSnapshot(self, request: Any) -> Any:
        subscription = self._broker.subscription(request.subscription)
        project = request.subscription.split("/")[1]
        name = request.name or f"projects/{project}/snapshots/snapshot-{uuid.uuid4().hex}"
        check_name("snapshots", name)
        check_labels(request.labels)
        if self._find(name):
            raise already_exists(name)
        self._broker.topic(subscription.config.topic)
        self._broker.offers.make_all()
        owed = _owed(subscription)
        left = _LIFE_S - (time.time() - min((kept.published_ns / 1e9 for kept in owed), default=time.time()))
        if left < _LEAST_S:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"The oldest unacknowledged message of {request.subscription} is too old: the snapshot would expire "
                "in less than an hour",
            )
        config = wire.Snapshot(name=name, topic=subscription.config.topic, labels=request.labels)
        config.expire_time.FromSeconds(int(time.time() + left))
        self._broker.hold(Snapshot(config, Log(messages=owed)))
        return config

    def GetSnapshot(self, request: Any) -> Any:
        return self._snapshot(request.snapshot).config

    def ListSnapshots(self, request: Any) -> Any:
        prefix = f"{request.project}/snapshots/"
        names = sorted(name for name in list(self._broker.snapshots) if name.startswith(prefix) and self._find(name))
        names, token = wire.page(names, request.page_size, request.page_token)
        configs = [self._broker.snapshots[name].config for name in names]
        return wire.ListSnapshotsResponse(snapshots=configs, next_page_token=token)

    def UpdateSnapshot(self, request: Any) -> Any:
        snapshot = self._snapshot(request.snapshot.name)
        immutable = frozenset({"name", "topic"})
        config = merged(snapshot.config, request.snapshot, request.update_mask, immutable=immutable)
        check_labels(config.labels)
        snapshot.config = config
        return snapshot.config

    def DeleteSnapshot(self, request: Any) -> Any:
        self._drop(self._snapshot(request.snapshot))
        return wire.Empty()

    def Seek(self, request: Any) -> Any:
        subscription = self._broker.subscription(request.subscription)
        target = request.WhichOneof("target")
        self._broker.offers.make_all()
        if target == "time":
            _seek_to_time(subscription, self._retained(subscription), request.time.ToNanoseconds())
        elif target == "snapshot":
            snapshot = self._snapshot(request.snapshot)
            if snapshot.config.topic != subscription.config.topic:
                raise invalid(f"{request.snapshot} belongs to another topic than {request.subscription}")
            _set_unacked(subscription, snapshot.log.read(), [])
        else:
            raise invalid("A seek needs a time or a snapshot")
        return wire.SeekResponse()

    def _retained(self, subscription: Subscription) -> list[StoredMessage]:
        """The messages that the subscription's topic retains."""
        topic = self._broker.topics.get(subscription.config.topic)
        return topic.retained.read() if topic and topic.retained is not None else []

    def _snapshot(self, name: str) -> Snapshot:
        if not (snapshot := self._find(name)):
            raise not_found(name)
        return snapshot

    def _find(self, name: str) -> Snapshot | None:
        """The snapshot of this name, unless it has expired."""
        snapshot = self._broker.snapshots.get(name)
        if snapshot and snapshot.config.expire_time.ToNanoseconds() <= time.time_ns():
            self._drop(snapshot)
            return None
        return snapshot

    def _drop(self, snapshot: Snapshot) -> None:
        del self._broker.snapshots[snapshot.config.name]
        if topic := self._broker.topics.get(snapshot.config.topic):
            topic.logs.pop(snapshot.config.name, None)


def _owed(subscription: Subscription) -> list[StoredMessage]:
    return [held.message for held in subscription.backlog.read()]


def _seek_to_time(subscription: Subscription, retained: list[StoredMessage], at_ns: int) -> None:
    acked = subscription.backlog.acked.read() if subscription.backlog.acked is not None else []
    later: list[StoredMessage] = []
    earlier: list[StoredMessage] = []
    for kept in (*retained, *acked, *_owed(subscription)):
        (later if kept.published_ns >= at_ns else earlier).append(kept)
    _set_unacked(subscription, later, earlier)


def _set_unacked(subscription: Subscription, wanted: Iterable[StoredMessage], others: Iterable[StoredMessage]) -> None:
    """Make the messages of `wanted` that match the filter unacked, and all other known messages acked."""
    backlog, matches = subscription.backlog, subscription.matches
    unacked = {kept.number: kept for kept in wanted if matches is None or matches(kept.parse().attributes)}
    if backlog.acked is not None:
        known = {kept.number: kept for kept in (*others, *backlog.acked.read(), *_owed(subscription))}
        done = (kept for number, kept in known.items() if number not in unacked)
        backlog.acked = Log(backlog.acked.keep_s, sorted(done, key=lambda kept: kept.published_ns))
    backlog.reset(sorted(unacked.values(), key=lambda kept: kept.number))
