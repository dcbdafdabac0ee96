"""Micro-batching, as an engine that wraps an engine.

Concurrent callers each bring a few images; one thread gathers what has arrived and makes one call for all of them.
While a batch is scored the next one gathers by itself, so an idle engine never waits and a busy one fills its batches.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future

import numpy as np

from model.engine import Activations, Engine, Images, Scores, Signature

_Job = tuple[Images, "Future[Scores]"]


class MicroBatcher:
    """Scores like the engine it wraps, in fewer and larger calls.

    `max_batch_size`: images in one call; `max_wait_s`: seconds that the first image may wait for company (0: take only
    what is there). A batch that fails is scored again one by one, so that one bad image never fails its neighbours.
    """

    def __init__(self, engine: Engine, *, max_batch_size: int, max_wait_s: float = 0.0) -> None:
        if max_batch_size < 1:
            raise ValueError(f"max_batch_size is {max_batch_size}; it must be at least 1")
        if max_wait_s < 0:
            raise ValueError(f"max_wait_s is {max_wait_s}; it must be at least 0")
        self._engine = engine
        self._max_batch_size = max_batch_size
        self._max_wait_s = max_wait_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="micro-batcher", daemon=True)
        self._thread.start()

    @property
    def signature(self) -> Signature:
        return self._engine.signature

    def score(self, images: Images, /) -> Scores:
        """Score `images` [N, height, width, channels]; blocks until they are done; gives float32 [N, labels]."""
        future: Future[Scores] = Future()
        with self._closing:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._jobs.put((images, future))
        return future.result()

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
        self._thread.join()
        self._engine.close()

    def _run(self) -> None:
        held: _Job | None = None
        while (job := held or self._jobs.get()) is not None:
            batch, held, closing = self._gather(job)
            self._answer(batch)
            if closing:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None, bool]:
        """The next batch, a job that did not fit into it, and whether it is the last."""
        batch, size = [first], len(first[0])
        deadline = time.monotonic() + self._max_wait_s
        while size < self._max_batch_size:
            try:
                wait = deadline - time.monotonic()
                job = self._jobs.get(timeout=wait) if wait > 0 else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, None, True
            if size + len(job[0]) > self._max_batch_size:
                return batch, job, False
            batch.append(job)
            size += len(job[0])
        return batch, None, False

    def _answer(self, batch: list[_Job]) -> None:
        try:
            images = batch[0][0] if len(batch) == 1 else np.concatenate([images for images, _ in batch])
            scores = self._engine.score(images)
        except Exception as exc:
            if len(batch) == 1:
                batch[0][1].set_exception(exc)
                return
            for job in batch:
                self._answer([job])
            return
        start = 0
        for images, future in batch:
            future.set_result(scores[start : start + len(images)])
            start += len(images)
