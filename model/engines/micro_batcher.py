"""Micro-batching, as an engine that wraps an engine.

Concurrent callers each bring a few images; a thread gathers what has arrived and makes one call for all of them.
While a batch is scored the next one gathers by itself, so an idle engine never waits and a busy one fills its batches.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np

from model.engines.base import Activations, Engine, Images, Scores, Signature
from model.engines.futures import done, settle
from model.errors import Withdrawn

T = TypeVar("T")

_LATEST = 8
"""Batches that weigh most in what an image is said to take."""

Conclude = Callable[[Callable[[], Scores]], T]
"""Makes an answer of scores; they are called for, and calling raises what went wrong with them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job(Generic[T]):
    """Images that are there, or are made by the thread that scores them; so is the answer."""

    count: int
    make: Callable[[], Images]
    conclude: Conclude[T]
    answer: Future[T] = field(default_factory=Future)

    def end(self, scores: Callable[[], Scores]) -> None:
        settle(self.answer, lambda: self.conclude(scores))

    def fail(self, exc: Exception) -> None:
        self.end(partial(_raise, exc))


def submit(engine: Engine, make: Callable[[], Images], conclude: Conclude[T]) -> Future[T]:
    """What `conclude` makes of the scores of the one image that `make` gives: later, where the engine gathers batches,
    whose thread does both."""
    if isinstance(engine, MicroBatcher):
        return engine.submit(make, conclude)
    return done(lambda: conclude(lambda: engine.score(make())))


def withdraw(engine: Engine) -> None:
    """Have what waits for its batch fail with Withdrawn, where the engine gathers batches."""
    if isinstance(engine, MicroBatcher):
        engine.withdraw()


class MicroBatcher:
    """Scores like the engine it wraps, in fewer and larger calls.

    `max_batch_size`: images in one call; `max_wait_s`: seconds that the first image may wait for company (0: take only
    what is there, and of it only a fair share where others score too); `scorers`: batches that are scored at once. A
    batch that fails is scored again one by one, so that one bad image never fails its neighbours.
    """

    def __init__(self, engine: Engine, *, max_batch_size: int, max_wait_s: float = 0.0, scorers: int = 1) -> None:
        if max_batch_size < 1:
            raise ValueError(f"max_batch_size is {max_batch_size}; it must be at least 1")
        if max_wait_s < 0:
            raise ValueError(f"max_wait_s is {max_wait_s}; it must be at least 0")
        self._engine = engine
        self._max_batch_size = max_batch_size
        self._max_wait_s = max_wait_s
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._scorers, self._free = scorers, threading.Semaphore(scorers)
        self._gathering = threading.Lock()
        self._held: _Job[Any] | None = None
        """What did not fit into the batch before."""
        self._image_s = 0.0
        """What an image of the latest batches took of a scorer's time."""
        self._closing = threading.Lock()
        self._closed = False
        names = [f"micro-batcher-{number}" for number in range(scorers)]
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    @property
    def signature(self) -> Signature:
        return self._engine.signature

    def score(self, images: Images, /) -> Scores:
        """Score `images` [N, height, width, channels]; blocks until they are done; gives float32 [N, labels].

        Whoever asks scores where nobody else is at it: to hand a small image to another thread and back takes longer.
        """
        if not self._max_wait_s and self._jobs.empty() and self._free.acquire(blocking=False):
            try:
                return self._engine.score(images)
            finally:
                self._free.release()
        return self._put(_Job(len(images), lambda: images, lambda scores: scores())).result()

    def submit(self, make: Callable[[], Images], conclude: Conclude[T], /) -> Future[T]:
        """What `conclude` makes of the scores of the one image that `make` gives [1, height, width, channels].

        The thread that scores calls both, and does what is to be done with the answer: all short, and none may score.
        """
        return self._put(_Job(1, make, conclude))

    def backlog_s(self) -> float:
        """Seconds until the images that wait to be scored are, by what the latest took."""
        return self._jobs.qsize() * self._image_s / self._scorers

    def withdraw(self) -> None:
        """Have what waits for its batch fail with Withdrawn."""
        with suppress(queue.Empty):
            while job := self._jobs.get_nowait():
                job.fail(Withdrawn())
            self._jobs.put(None)  # for those who gather: it is closed

    def activations(self, images: Images, /) -> Activations | None:
        """Asked of the engine itself: too rare to be gathered."""
        return self._engine.activations(images)

    def close(self) -> None:
        """Score what has been handed in, then stop the threads and the engine."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        for _ in range(self._scorers):  # never given back: nobody scores from now on
            self._free.acquire()
        self._engine.close()

    def _put(self, job: _Job[T]) -> Future[T]:
        with self._closing:
            if not self._closed:
                self._jobs.put(job)
                return job.answer
        raise RuntimeError("the batcher is closed")

    def _run(self) -> None:
        while True:
            with self._gathering:  # one at a time: two would each get half a batch
                first, self._held = self._held or self._jobs.get(), None
                if first is None:
                    self._jobs.put(None)  # for the next who gathers
                    return
                self._free.acquire()
                batch = self._gather(first)
            began = time.monotonic()
            try:
                self._answer([(images, job) for job in batch if (images := _made(job)) is not None])
            finally:
                self._free.release()
            taken_s = (time.monotonic() - began) / len(batch)
            self._image_s += (taken_s - self._image_s) / _LATEST

    def _gather(self, first: _Job[Any]) -> list[_Job[Any]]:
        """The next batch."""
        batch, size = [first], first.count
        most, deadline = self._most(), time.monotonic() + self._max_wait_s
        while size < most:
            try:
                wait = deadline - time.monotonic()
                job = self._jobs.get(timeout=wait) if wait > 0 else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            if size + job.count > self._max_batch_size:
                self._held = job
                break
            batch.append(job)
            size += job.count
        return batch

    def _most(self) -> int:
        """Images of the next batch: a few that wait are scored sooner by all than by one alone."""
        if self._max_wait_s:
            return self._max_batch_size
        waiting = 1 + self._jobs.qsize()
        return min(self._max_batch_size, -(-waiting // self._scorers))

    def _answer(self, batch: list[tuple[Images, _Job[Any]]]) -> None:
        if not batch:
            return
        try:
            images = batch[0][0] if len(batch) == 1 else np.concatenate([images for images, _ in batch])
            scores = self._engine.score(images)
        except Exception as exc:
            if len(batch) == 1:
                batch[0][1].fail(exc)
                return
            for each in batch:
                self._answer([each])
            return
        start = 0
        for images, job in batch:
            job.end(partial(scores.__getitem__, slice(start, start + len(images))))
            start += len(images)


def _made(job: _Job[Any]) -> Images | None:
    """The job's images; None, and the job has failed, where they cannot be made."""
    try:
        return job.make()
    except Exception as exc:
        job.fail(exc)
        return None


def _raise(exc: Exception) -> NoReturn:
    raise exc
