"""Micro-batching, as an engine that wraps an engine.

Concurrent callers each bring a few images; a thread gathers what has arrived and makes one call for all of them.
While a batch is scored the next one gathers by itself, so an idle engine never waits and a busy one fills its batches.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future

import numpy as np

from model.engine import Activations, Engine, Images, Scores, Signature
from model.later import done

_Job = tuple[Images, "Future[Scores]"]


def submit(engine: Engine, images: Images) -> Future[Scores]:
    """Scores of `images`, later where the engine gathers batches, else at once."""
    return engine.submit(images) if isinstance(engine, MicroBatcher) else done(engine.score(images))


class MicroBatcher:
    """Scores like the engine it wraps, in fewer and larger calls.

    `max_batch_size`: images in one call; `max_wait_s`: seconds that the first image may wait for company (0: take only
    what is there); `scorers`: threads that gather and score, each its own batch. A batch that fails is scored again one
    by one, so that one bad image never fails its neighbours.
    """

    def __init__(self, engine: Engine, *, max_batch_size: int, max_wait_s: float = 0.0, scorers: int = 1) -> None:
        if max_batch_size < 1:
            raise ValueError(f"max_batch_size is {max_batch_size}; it must be at least 1")
        if max_wait_s < 0:
            raise ValueError(f"max_wait_s is {max_wait_s}; it must be at least 0")
        self._engine = engine
        self._max_batch_size = max_batch_size
        self._max_wait_s = max_wait_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(max_batch_size * (scorers + 1))
        self._gathering = threading.Lock()
        self._held: _Job | None = None
        """What did not fit into the batch before."""
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
        """Score `images` [N, height, width, channels]; blocks until they are done; gives float32 [N, labels]."""
        return self.submit(images).result()

    def submit(self, images: Images, /) -> Future[Scores]:
        """Like `score`, later; blocks only while there is one batch too many already.

        What is to be done with the scores is done by the thread that made them: it must be short, and must not score.
        """
        self._room.acquire()
        future: Future[Scores] = Future()
        with self._closing:
            if not self._closed:
                self._jobs.put((images, future))
                return future
        self._room.release()
        raise RuntimeError("the batcher is closed")

    def activations(self, images: Images, /) -> Activations | None:
        """Asked of the engine itself: too rare to be gathered."""
        return self._engine.activations(images)

    def close(self) -> None:
        """Score what has been handed in, then stop the thread and the engine."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._engine.close()

    def _run(self) -> None:
        while True:
            with self._gathering:  # one at a time: two would each get half a batch
                batch = self._gather()
            if not batch:
                return
            self._answer(batch)

    def _gather(self) -> list[_Job]:
        """The next batch; none when there is nothing more to come."""
        first, self._held = self._held or self._jobs.get(), None
        if first is None:
            self._jobs.put(None)  # for the next who gathers
            return []
        batch, size = [first], len(first[0])
        deadline = time.monotonic() + self._max_wait_s
        while size < self._max_batch_size:
            try:
                wait = deadline - time.monotonic()
                job = self._jobs.get(timeout=wait) if wait > 0 else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            if size + len(job[0]) > self._max_batch_size:
                self._held = job
                break
            batch.append(job)
            size += len(job[0])
        return batch

    def _answer(self, batch: list[_Job]) -> None:
        try:
            images = batch[0][0] if len(batch) == 1 else np.concatenate([images for images, _ in batch])
            scores = self._engine.score(images)
        except Exception as exc:
            if len(batch) == 1:
                self._room.release()
                batch[0][1].set_exception(exc)
                return
            for job in batch:
                self._answer([job])
            return
        start = 0
        for images, future in batch:
            self._room.release()
            future.set_result(scores[start : start + len(images)])
            start += len(images)
