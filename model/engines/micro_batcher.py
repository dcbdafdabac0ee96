"""Micro-batching: an engine that wraps an engine and scores the images of several callers in one call.

A scoring thread takes the images that wait as one batch. While it scores, the next ones arrive: an idle engine never
waits, and a busy one scores full batches.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from model.engines.base import Activations, Engine, Features, Images, Scores

# Batches in the moving average of the time per image.
_AVERAGED = 8

# Starts a thread with a name, which runs a function.
StartThread = Callable[[str, Callable[[], None]], threading.Thread]


def start_thread(name: str, work: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Images that wait for their scores [count, labels]. The scoring thread prepares them."""

    count: int
    prepare: Callable[[], Images]
    scores: Future[Scores] = field(default_factory=Future)


class MicroBatcher:
    """Scores like the engine it wraps, in fewer and larger calls. Both an Engine and an AsyncEngine.

    `max_batch_size`: most images in one call. `max_wait_s`: seconds that the first image of a batch waits for more; at
    0 a batch is what waits already, divided by the number of scoring threads. `scorers`: scoring threads. A batch that
    fails is scored again image by image, so that a bad image fails alone.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_batch_size: int,
        max_wait_s: float = 0.0,
        scorers: int = 1,
        start: StartThread = start_thread,
    ) -> None:
        if max_batch_size < 1:
            raise ValueError(f"max_batch_size is {max_batch_size}; it must be at least 1")
        if max_wait_s < 0:
            raise ValueError(f"max_wait_s is {max_wait_s}; it must be at least 0")
        self.signature, self.device = engine.signature, engine.device
        self._engine = engine
        self.max_batch_size = max_batch_size
        self._max_wait_s = max_wait_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._scorers, self._free = scorers, threading.Semaphore(scorers)
        self._gathering = threading.Lock()
        # The job that did not fit into the last batch.
        self._held: _Job | None = None
        # Moving average of the seconds that a scoring thread takes for a job.
        self._job_s = 0.0
        self._closing = threading.Lock()
        self._closed = False
        self._threads = [start(f"micro-batcher-{number}", self._run) for number in range(scorers)]

    def score(self, images: Images, /) -> Scores:
        """Score `images` [N, height, width, channels]; blocks; returns float32 [N, labels].

        The calling thread scores when no image waits and a scorer is free: two changes of thread would take longer.
        """
        if not self._max_wait_s and self._jobs.empty() and self._free.acquire(blocking=False):
            try:
                return self._engine.score(images)
            finally:
                self._free.release()
        return self._put(_Job(len(images), lambda: images)).result()

    def submit(self, prepare: Callable[[], Images], count: int = 1, /) -> Future[Scores]:
        """The scores [N, labels] of the N images, 1 to `count`, that `prepare` returns [N, height, width, channels].

        A scoring thread calls `prepare` and the callbacks of the future: they must be short and must not score.
        """
        return self._put(_Job(count, prepare))

    def backlog_s(self) -> float:
        """Seconds until the images that wait are scored, estimated from the latest batches."""
        return self._jobs.qsize() * self._job_s / self._scorers

    def cancel(self) -> None:
        """Cancel the futures of the images that wait."""
        with suppress(queue.Empty):
            while job := self._jobs.get_nowait():
                job.scores.cancel()
            self._jobs.put(None)  # the queue was closed, and the scoring threads need its end mark

    def activations(self, images: Images, /) -> Activations | None:
        """The activations of the wrapped engine, without batching: explanations are rare."""
        return self._engine.activations(images)

    def features(self, images: Images, /) -> Features | None:
        """The features of the wrapped engine, without batching: few requests need them."""
        return self._engine.features(images)

    def stop(self) -> bool:
        """Let the threads end when they have scored what waits, without waiting for it. False: it was called before."""
        with self._closing:
            if self._closed:
                return False
            self._closed = True
            self._jobs.put(None)
        return True

    def close(self) -> None:
        """Score what waits, then stop the threads and the engine."""
        if not self.stop():
            return
        for thread in self._threads:
            thread.join()
        for _ in range(self._scorers):  # never released: nothing is scored from now on
            self._free.acquire()
        self._engine.close()

    def _put(self, job: _Job) -> Future[Scores]:
        with self._closing:
            if not self._closed:
                self._jobs.put(job)
                return job.scores
        raise RuntimeError("the batcher is closed")

    def _run(self) -> None:
        while self._score_next():
            pass

    def _score_next(self) -> bool:
        """Wait for a batch and score it; False at the end. A thread that waits holds nothing of earlier batches."""
        with self._gathering:  # one thread at a time: two would each get half a batch
            first, self._held = self._held or self._jobs.get(), None
            if first is None:
                self._jobs.put(None)  # for the next thread
                return False
            self._free.acquire()
            batch = self._gather(first)
        began = time.monotonic()
        try:
            self._score_all([(images, job) for job in batch if (images := _prepared(job)) is not None])
        finally:
            self._free.release()
        taken_s = (time.monotonic() - began) / len(batch)
        self._job_s += (taken_s - self._job_s) / _AVERAGED
        return True

    def _gather(self, first: _Job) -> list[_Job]:
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
            if size + job.count > self.max_batch_size:
                self._held = job
                break
            batch.append(job)
            size += job.count
        return batch

    def _most(self) -> int:
        """Most images of the next batch: when few wait, all scoring threads share them."""
        if self._max_wait_s:
            return self.max_batch_size
        waiting = 1 + self._jobs.qsize()
        return min(self.max_batch_size, -(-waiting // self._scorers))

    def _score_all(self, batch: list[tuple[Images, _Job]]) -> None:
        if not batch:
            return
        try:
            images = batch[0][0] if len(batch) == 1 else np.concatenate([images for images, _ in batch])
            scores = self._engine.score(images)
        except Exception as exc:
            if len(batch) == 1:
                batch[0][1].scores.set_exception(exc)
                return
            for each in batch:
                self._score_all([each])
            return
        start = 0
        for images, job in batch:
            job.scores.set_result(scores[start : start + len(images)])
            start += len(images)


def _prepared(job: _Job) -> Images | None:
    """The images of a job, or None when the job has failed."""
    try:
        return job.prepare()
    except Exception as exc:
        job.scores.set_exception(exc)
        return None
