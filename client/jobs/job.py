"""One job of the job store: its images, what was sent, and the response to each."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator

from client.gcp import UsageError
from client.images import AnyImage, Image
from client.jobs.counts import Counts
from client.jobs.database import Database
from client.jobs.definition import Definition
from client.jobs.held_job import HeldJob
from client.jobs.statements import AGAIN, ANSWER, EARLY, FIND, IMAGE, INSERT, NUMBER, escaped
from client.jobs.stored_image import from_columns, to_columns
from client.jobs.stored_record import RECORD, to_record
from client.jobs.stored_record import to_columns as answer_columns
from client.results.record import Record
from client.results.request_tracker import Outcome
from client.transport.base import Sent
from functions.errors import UNAVAILABLE
from functions.messages.contract import Response
from model.text import shortened, whole

_PAGE = 1000
"""Images read or written at a time: few enough to hold, enough for one transaction to cost little an image."""


_MAX_ID = 80
"""Characters of an unknown id in a message: a job's id has 24."""


class Job(HeldJob):
    """A job in the store. All methods may be called from several threads, and raise StoreError."""

    def __init__(self, database: Database, job_id: str) -> None:
        super().__init__(database, job_id)
        found = database.rows("SELECT definition, created_at FROM jobs WHERE id = ?", whole(job_id))
        if not found:
            raise UsageError(f"no job has the id {shortened(job_id, _MAX_ID)}; predictions jobs lists them")
        self.definition = database.made(Definition.from_json, found[0][0])
        self.created_at = float(found[0][1])

    # Images

    def add(self, images: Iterable[AnyImage], page_size: int = _PAGE) -> Iterator[int]:
        """Add images, page by page; yields the number of images after each page. One that is there is not added again.

        Each gets a key, which is its request id unless an upload makes another one.

        The first call to `next` adds the first page, so that sending can begin before a long listing ends.
        """
        pages = iter(images)
        [[number]] = self._database.rows("SELECT coalesce(max(number), 0) FROM images WHERE job = ?", self.id)
        while page := list(itertools.islice(pages, page_size)):
            rows = [
                (self.id, number + at, *to_columns(image), image.request_id or uuid.uuid4().hex)
                for at, image in enumerate(page, 1)
            ]
            with self._database.transaction() as database:
                database.executemany(INSERT, rows)
            number += len(page)
            yield number
        with self._database.transaction() as database:
            database.execute("UPDATE jobs SET is_listed = 1 WHERE id = ?", (self.id,))

    def unsent(self, after: int = 0) -> Iterator[tuple[int, AnyImage]]:
        """Yield the images that wait, with their numbers, in their order. Ends early when the job is cancelled."""
        query = f"SELECT number, {IMAGE} FROM images WHERE job = ? AND state = 'waiting' AND number > ? ORDER BY number"  # nosec B608
        while page := self._database.rows(f"{query} LIMIT {_PAGE}", self.id, after):
            for number, *columns in page:
                after = number
                yield number, self._database.made(from_columns, *columns)
            if self.is_cancelled:
                return

    def retry(self, *, unanswered: bool = False) -> int:
        """Let images that could not be sent wait again; with `unanswered` also those that have no response.

        Returns how many were being sent when the command ended, so that they may be sent twice.
        """
        states = "('failed', 'sending', 'sent')" if unanswered else "('failed', 'sending')"
        query = "SELECT count(*) FROM images WHERE job = ? AND state = 'sending'"
        with self._database.transaction() as database:
            [unconfirmed] = database.execute(query, (self.id,)).fetchone()
            database.execute(
                f"UPDATE images SET state = 'waiting', problem = '' WHERE job = ? AND rank = 0 AND state IN {states}",  # nosec B608
                (self.id,),
            )
        return int(unconfirmed)

    def again(self, numbers: Iterable[int]) -> set[int]:
        """Let those of these images wait again that could not be sent, or got the error `unavailable`; returns them."""
        with self._database.transaction() as database:
            return {n for n in numbers if database.execute(AGAIN, (self.id, n, UNAVAILABLE)).rowcount}

    def awaited(self) -> Iterator[tuple[AnyImage, str, str]]:
        """Yield each image that was sent and has no response, with its request id and trace id."""
        query = (
            f"SELECT {IMAGE}, request_id, trace_id FROM images "  # nosec B608
            "WHERE job = ? AND state = 'sent' AND rank = 0 ORDER BY number"
        )
        for *columns, request_id, trace_id in self._database.rows(query, self.id):
            yield self._database.made(from_columns, *columns), request_id, trace_id

    def attempted(self) -> Iterator[AnyImage]:
        """Yield each image whose sending failed, or was not confirmed. It may have been sent all the same."""
        query = f"SELECT {IMAGE} FROM images WHERE job = ? AND state IN ('sending', 'failed') AND rank = 0"  # nosec B608
        for columns in self._database.rows(query, self.id):
            yield self._database.made(from_columns, *columns)

    # What becomes of them

    def sending(self, image: Image) -> None:
        """Record that an image is being sent. Until `sent`, nobody knows whether it has arrived."""
        with self._database.transaction() as database:
            database.execute(
                "UPDATE images SET state = 'sending' WHERE job = ? AND key = ?", (self.id, image.request_id)
            )

    def sent(self, image: Image, sent: Sent, sent_at: float) -> None:
        """Record that an image was sent; `sent_at` is in seconds since 1970. Takes a response that arrived before."""
        key = self.id, sent.request_id
        with self._database.transaction() as database:
            early = database.execute(
                "DELETE FROM early WHERE job = ? AND request_id = ? RETURNING record, rank, error_code, answered_at",
                key,
            ).fetchall()
            database.execute(
                "UPDATE images SET state = 'sent', problem = '', request_id = ?, trace_id = ?, sent_at = ? "
                "WHERE job = ? AND key = ?",
                (sent.request_id, sent.trace_id, sent_at, self.id, image.request_id),
            )
            for values in early:
                [number] = database.execute(NUMBER, (self.id, image.request_id)).fetchone()
                database.execute(ANSWER, (sent.request_id, *values, self.id, number, values[1]))

    def receive(self, response: Response) -> bool:
        """Record a response: predictions replace an error, and any error the error `unavailable`.

        Returns whether it is the first of its image, or replaces one.
        """
        values = answer_columns(response)
        key = self.id, response.request_id
        with self._database.transaction() as database:
            known = database.execute(FIND, key * 2).fetchone()
            if known:
                answered = database.execute(ANSWER, (response.request_id, *values, self.id, *known, values[1]))
                return answered.rowcount > 0
            else:  # the request id of an upload is known only after it
                database.execute(EARLY, (*values, *key))
                return False

    def end(self, outcome: Outcome) -> None:
        """Record the outcome of an image: a problem, or the response of an HTTP request.

        An image without a response stays in its state: whether it was sent is known from `sent` alone.
        """
        if outcome.response and self.definition.command == "predict":
            values = answer_columns(outcome.response)
            with self._database.transaction() as database:
                [number] = database.execute(NUMBER, (self.id, outcome.image.request_id)).fetchone()
                database.execute(ANSWER, (outcome.request_id, *values, self.id, number, values[1]))
        if outcome.problem:
            with self._database.transaction() as database:
                database.execute(
                    "UPDATE images SET problem = ?, state = iif(?, 'failed', state) "
                    "WHERE job = ? AND key = ? AND rank = 0",
                    (outcome.problem, outcome.unsent, self.id, outcome.image.request_id),
                )

    def when_saved(self, action: Callable[[], None]) -> None:
        """Call `action` when what is recorded so far is saved: here at once. May be called from another thread."""
        action()

    def save(self) -> None:
        """Save what is recorded, where that does not happen at once."""

    # What is known

    def state_of(self, key: str) -> tuple[str, int, str] | None:
        """Return the state, rank and error code of the image with this key; None where the job has no such image."""
        query = "SELECT state, rank, error_code FROM images WHERE job = ? AND key = ?"
        found = self._database.rows(query, self.id, key)
        return found[0] if found else None

    def outcome_of(self, response: Response) -> Outcome | None:
        """Return the outcome of the image whose key is the response's request id; None where there is none."""
        query = f"SELECT {IMAGE}, trace_id, sent_at, answered_at FROM images WHERE job = ? AND key = ?"  # nosec B608
        for *columns, trace_id, sent_at, answered_at in self._database.rows(query, self.id, response.request_id):
            ms = max(0.0, 1000 * (answered_at - sent_at)) if sent_at and answered_at else 0.0
            image = self._database.made(from_columns, *columns)
            return Outcome(image, response.request_id, response, ms=ms, trace_id=trace_id)
        return None

    def counts(self) -> Counts:
        """Return how many images are in each state."""
        query = (
            "SELECT state, rank, error_code, count(*) FROM images WHERE job = ? GROUP BY state, rank > 0, error_code"
        )
        return Counts.of(self._database.rows(query, self.id))

    def expired(self) -> int:
        """Return how many images without a response had a time limit that is over."""
        limit = self.definition.options.expires_in_s
        if limit is None:
            return 0
        query = "SELECT count(*) FROM images WHERE job = ? AND state = 'sent' AND rank = 0 AND sent_at < ?"
        return int(self._database.rows(query, self.id, time.time() - limit)[0][0])

    def is_complete(self) -> bool:
        """Whether every image of the job has a response, or was sent where none was requested."""
        if not self.is_listed:  # read first: while images are added, earlier counts would miss some
            return False
        counts = self.counts()
        done = counts.answered if self.is_answered else counts.answered + counts.unanswered
        return 0 < done == counts.total

    def not_sent(self) -> Iterator[str]:
        """Yield the locations of the images that wait or could not be sent."""
        query = (
            "SELECT location FROM images WHERE job = ? AND state IN ('waiting', 'sending', 'failed') ORDER BY number"
        )
        for [location] in self._database.rows(query, self.id):
            yield self._database.made(json.loads, location)

    @property
    def is_answered(self) -> bool:
        """Whether a response to each image was requested."""
        return bool(self.definition.client_id) or self.definition.command == "predict"

    def records(self, *, failed: bool = False) -> Iterator[Record]:
        """Yield the row of each image in their order; with `failed` only of those without predictions."""
        which = "AND (rank = 0 OR error_code <> '')" if failed else ""
        query = (
            f"SELECT number, {RECORD} FROM images WHERE job = ? AND number > ? {which} ORDER BY number LIMIT {_PAGE}"  # nosec B608
        )
        after = 0
        while page := self._database.rows(query, self.id, after):
            after = page[-1][0]
            for _, *columns in page:
                yield self._database.made(to_record, self.is_answered, *columns)

    def find(self, key: str) -> Iterator[Record]:
        """Yield the row of each image with this request id, location, or name without folders."""
        name = json.dumps(key)[1:-1]
        values = self.id, key, key, f'"{name}"', f'%/{escaped(name)}"'
        which = "(request_id = ? OR key = ? OR location = ? OR location LIKE ? ESCAPE '!')"
        query = f"SELECT {RECORD} FROM images WHERE job = ? AND {which} ORDER BY number"  # nosec B608
        for columns in self._database.rows(query, *values):
            yield self._database.made(to_record, self.is_answered, *columns)

    def number_of(self, key: str) -> int:
        """Return the number of the image with this key. Raises StoreError."""
        rows = self._database.rows(NUMBER, self.id, key)
        return int(self._database.made(lambda: rows[0][0]))

    def record_of(self, key: str) -> Record | None:
        """Return the row of the image with this key; None where the job has no such image."""
        rows = self._database.rows(f"SELECT {RECORD} FROM images WHERE job = ? AND key = ?", self.id, key)  # nosec B608
        return self._database.made(to_record, self.is_answered, *rows[0]) if rows else None

    def answered_records(self) -> Iterator[Record]:
        """Yield the row of each image with a response."""
        return (record for record in self.records() if record.status in ("ok", "error"))
