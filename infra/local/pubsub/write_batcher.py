"""Writes changes to the database in batches, in a thread. A batch gathers the changes during the previous write."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import grpc

from infra.local.pubsub.database import Database, Place, ResourceKey, Row
from infra.local.pubsub.message_index import MessageIndex
from infra.local.pubsub.refusal import Refusal
from infra.local.pubsub.stored_message import StoredMessage

# Seconds between a failed write and the next one.
_RETRY_S = 1.0
_log = logging.getLogger("infra.local.pubsub")


class Batch:
    """Changes that are written together; the last change of a key counts. `written`: "" or the reason of a failure."""

    def __init__(self) -> None:
        self.written: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.resources: dict[ResourceKey, Row | None] = {}
        self.places: dict[Place, int | None] = {}
        self.bodies: dict[int, bytes] = {}


class WriteBatcher:
    """Gathers changes. It runs on the server's event loop from construction to `close`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._resources = database.resources()
        self._numbers = itertools.count(1 + max((number for number, _ in self._resources.values()), default=0))
        self._batch: Batch | None = None
        self._last: asyncio.Future[str] | None = None
        self._noted = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "pubsub-writer")
        self._writer = asyncio.create_task(self._run())

    def batch(self) -> Batch:
        """The batch that is written next."""
        if self._batch is None:
            self._batch = Batch()
            self._last = self._batch.written
            self._noted.set()
        return self._batch

    def new_index(self, messages: Iterable[StoredMessage]) -> MessageIndex:
        """A new message index with these messages."""
        index = PersistentIndex(self, next(self._numbers))
        for message in messages:
            index.add(message)
        return index

    def keep(self, resources: dict[ResourceKey, Row]) -> None:
        """Note all existing resources. The others are deleted, with their messages."""
        changed: Mapping[ResourceKey, Row | None] = {
            **dict.fromkeys(self._resources.keys() - resources.keys()),
            **{key: row for key, row in resources.items() if self._resources.get(key) != row},
        }
        if changed:
            self.batch().resources.update(changed)
            self._resources = resources

    async def written(self) -> None:
        """Wait until all changes so far are in the file. Refuses with UNAVAILABLE when it cannot be written."""
        if self._last and (why := await asyncio.shield(self._last)):
            raise Refusal(grpc.StatusCode.UNAVAILABLE, why)

    async def close(self) -> None:
        """Write the last batch and close the file."""
        if self._last:
            await self._last
        self._writer.cancel()
        self._thread.shutdown()
        self._database.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._noted.wait()
            self._noted.clear()
            batch, self._batch, why = self.batch(), None, ""
            try:
                await loop.run_in_executor(
                    self._thread, self._database.write, batch.resources, batch.places, batch.bodies
                )
            except Exception as exc:  # most likely a full disk; every other error must reach the waiting callers too
                why = f"{self._database.path} cannot be written: {exc}"
                _log.error("%s; it will be retried", why)
                later = self.batch()  # the change is in memory, so it must reach the file, before later changes
                later.resources = batch.resources | later.resources
                later.places = batch.places | later.places
                later.bodies = batch.bodies | later.bodies
            batch.written.set_result(why)
            if why:
                await asyncio.sleep(_RETRY_S)


class PersistentIndex(MessageIndex):
    """A message index that is stored in the database."""

    def __init__(self, batcher: WriteBatcher, number: int) -> None:
        self._batcher, self.number = batcher, number

    def add(self, message: StoredMessage) -> None:
        batch = self._batcher.batch()
        batch.bodies[message.number] = message.body
        batch.places[message.number, self.number] = 0

    def drop(self, message: StoredMessage) -> None:
        self._batcher.batch().places[message.number, self.number] = None

    def count(self, message: StoredMessage, attempts: int) -> None:
        self._batcher.batch().places[message.number, self.number] = attempts

    def renewed(self, messages: Iterable[StoredMessage]) -> MessageIndex:
        return self._batcher.new_index(messages)
