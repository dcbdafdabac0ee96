"""The journal: gathers what is noted while one batch is written, and writes it as the next, in a thread."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from infra.local.pubsub.database import Database, Place, Row, Thing
from infra.local.pubsub.refusal import Refusal
from infra.local.pubsub.shelf import Shelf

_RETRY_S = 1.0
_log = logging.getLogger("infra.local.pubsub")


class Batch:
    """What is written together; of each thing and place the last word counts. `written`: done with "" or why not."""

    def __init__(self) -> None:
        self.written: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.things: dict[Thing, Row | None] = {}
        self.places: dict[Place, int | None] = {}
        self.bodies: dict[int, Any] = {}


class Journal:
    """Notes what changes; runs on the server's loop from construction to `close`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._things = database.things()
        self._shelves = itertools.count(1 + max((shelf for shelf, _ in self._things.values()), default=0))
        self._batch: Batch | None = None
        self._last: asyncio.Future[str] | None = None
        self._noted = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "journal")
        self._writer = asyncio.create_task(self._run())

    def batch(self) -> Batch:
        """What is written next."""
        if self._batch is None:
            self._batch = Batch()
            self._last = self._batch.written
            self._noted.set()
        return self._batch

    def shelf(self, messages: Iterable[Any]) -> Shelf:
        """A new shelf with these messages."""
        shelf = Noted(self, next(self._shelves))
        for message in messages:
            shelf.add(message)
        return shelf

    def keep(self, things: dict[Thing, Row]) -> None:
        """Note all that there is now; what is not among it is forgotten, and the messages on its shelf."""
        changed: Mapping[Thing, Row | None] = {
            **dict.fromkeys(self._things.keys() - things.keys()),
            **{thing: row for thing, row in things.items() if self._things.get(thing) != row},
        }
        if changed:
            self.batch().things.update(changed)
            self._things = things

    async def written(self) -> None:
        """Wait until all that was noted so far is in the file; UNAVAILABLE when it cannot be written."""
        if self._last and (why := await asyncio.shield(self._last)):
            raise Refusal(grpc.StatusCode.UNAVAILABLE, why)

    async def close(self) -> None:
        """Write what is left."""
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
                await loop.run_in_executor(self._thread, self._database.write, batch.things, batch.places, batch.bodies)
            except Exception as exc:  # most likely a disk that is full; who waits must hear of anything else too
                why = f"{self._database.path} cannot be written: {exc}"
                _log.error("%s; it is tried again", why)
                later = self.batch()  # in memory it has happened, so it must reach the file, and before what came later
                later.things = batch.things | later.things
                later.places = batch.places | later.places
                later.bodies = batch.bodies | later.bodies
            batch.written.set_result(why)
            if why:
                await asyncio.sleep(_RETRY_S)


class Noted(Shelf):
    """A shelf in a journal."""

    def __init__(self, journal: Journal, number: int) -> None:
        self._journal, self.number = journal, number

    def add(self, message: Any) -> None:
        batch, number = self._journal.batch(), int(message.message_id)
        batch.bodies[number] = message
        batch.places[number, self.number] = 0

    def drop(self, message: Any) -> None:
        self._journal.batch().places[int(message.message_id), self.number] = None

    def count(self, message: Any, attempts: int) -> None:
        self._journal.batch().places[int(message.message_id), self.number] = attempts

    def renewed(self, messages: Iterable[Any]) -> Shelf:
        return self._journal.shelf(messages)
