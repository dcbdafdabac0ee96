"""Persistence of a server with a data folder: restores its state, and delays replies until their changes are stored."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from google.iam.v1 import policy_pb2
from google.pubsub_v1 import types

from infra.local.pubsub import wire
from infra.local.pubsub.broker import Broker
from infra.local.pubsub.database import Database, Row
from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.iam import IamPolicy
from infra.local.pubsub.message_index import NO_INDEX
from infra.local.pubsub.resources import Topic
from infra.local.pubsub.retention import Log, Snapshot
from infra.local.pubsub.schemas import Schemas
from infra.local.pubsub.stored_message import StoredMessage, read_stored
from infra.local.pubsub.write_batcher import PersistentIndex, WriteBatcher

# Prefixes of methods that change no resource.
_READ_ONLY = ("Get", "List", "Test", "Validate", "Publish", "Pull", "Acknowledge", "ModifyAckDeadline")


class Persistence:
    """Stores a broker, its schemas and its policies in a database. Constructed on the event loop, it restores them."""

    def __init__(self, database: Database, broker: Broker, schemas: Schemas, policies: IamPolicy) -> None:
        self._broker, self._schemas, self._policies = broker, schemas, policies
        self._batcher = WriteBatcher(database)
        self.written, self.close = self._batcher.written, self._batcher.close
        broker.offers.stored = self._batcher.written
        holders: dict[int, Backlog | Log] = {}
        for (kind, name), (number, config) in database.resources().items():
            self._restore(kind, name, config)
            if holder := self._holder(kind, name):
                holder.index = PersistentIndex(self._batcher, number)
                holders[number] = holder
        message: StoredMessage | None = None
        gc.disable()  # nothing here is garbage, and to look for it takes almost as long as the rest
        for number, attempts, message_id, body in database.messages():
            if message is None or message.number != message_id:  # rows of one message follow each other
                message = read_stored(message_id, body)
            holders[number].offer(message, attempts)
        gc.enable()

    def keep(self) -> None:
        """Note the current resources."""
        self._batcher.keep({(kind, name): self._row(kind, name, config) for kind, name, config in self._resources()})

    def _resources(self) -> Iterator[tuple[str, str, Any]]:
        """Yield kind, name and settings, in an order in which they can be restored."""
        for name, topic in self._broker.topics.items():
            yield "topic", name, topic.config
        for revisions in self._schemas.schemas.values():
            for each in revisions:
                yield "schema", f"{each.config.name}@{each.config.revision_id}", each.config
        for name, subscription in self._broker.subscriptions.items():
            yield "subscription", name, subscription.config
            if subscription.backlog.acked is not None:
                yield "acked", name, None
        for name, snapshot in self._broker.snapshots.items():
            yield "snapshot", name, snapshot.config
        for name, policy in self._policies.policies():
            yield "policy", name, policy

    def _restore(self, kind: str, name: str, config: bytes) -> None:
        if kind == "topic":
            self._broker.topics[name] = Topic(wire.Topic.FromString(config))
        elif kind == "schema":
            self._schemas.restore(types.Schema.pb().FromString(config))
        elif kind == "subscription":
            self._broker.attach(wire.Subscription.FromString(config))
        elif kind == "snapshot":
            self._broker.hold(Snapshot(wire.Snapshot.FromString(config), Log()))
        elif kind == "policy":
            self._policies.restore(name, policy_pb2.Policy.FromString(config))

    def _holder(self, kind: str, name: str) -> Backlog | Log | None:
        """The holder of a resource's messages."""
        if kind == "topic":
            return self._broker.topics[name].retained
        if kind == "snapshot":
            return self._broker.snapshots[name].log
        backlog = self._broker.subscriptions[name].backlog if kind in ("subscription", "acked") else None
        return backlog.acked if backlog and kind == "acked" else backlog

    def _row(self, kind: str, name: str, config: Any) -> Row:
        holder = self._holder(kind, name)
        if holder and holder.index is NO_INDEX:  # the resource is new
            holder.index = self._batcher.new_index(_messages(holder))
        return holder.index.number if holder else 0, config.SerializeToString() if config else b""


def _messages(holder: Backlog | Log) -> list[StoredMessage]:
    return [held.message for held in holder.read()] if isinstance(holder, Backlog) else holder.read()


class DurableService:
    """The methods of a service. Each reply waits until its changes are in the database."""

    def __init__(self, persistence: Persistence, methods: object) -> None:
        self._persistence, self._methods = persistence, methods

    def __dir__(self) -> list[str]:
        return dir(self._methods)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._methods, name)
        return self._stream(method) if name == "StreamingPull" else self._call(name, method)

    def _call(self, name: str, method: Any) -> Any:
        async def call(request: Any, context: Any) -> Any:
            try:
                return await method(request, context) if inspect.iscoroutinefunction(method) else method(request)
            finally:  # a refused call may have changed something too
                if not name.startswith(_READ_ONLY):
                    self._persistence.keep()
                await self._persistence.written()

        return call

    def _stream(self, method: Any) -> Any:
        async def StreamingPull(requests: Any, context: Any) -> None:
            async def write(response: Any) -> None:
                if response.HasField("acknowledge_confirmation"):
                    await self._persistence.written()
                await context.write(response)

            await method(requests, SimpleNamespace(write=write))

        return StreamingPull
