"""A chunk: images that are prepared and scored in one call. What is wrong with one image fails that image alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from functions.messages.contract import Response
from model.engines.base import AsyncEngine, Images, Scores


class Scored(Protocol):
    """One request of a chunk."""

    def prepare(self) -> Images:
        """The prepared image [1, height, width, channels]; blocks."""
        ...

    def conclude(self, scores: Callable[[], Scores], /) -> Response:
        """The response that the scores [1, labels] make. `scores` returns them or raises what went wrong before."""
        ...


class NothingToScore(Exception):
    """No image of the chunk could be prepared."""


@dataclass(slots=True, eq=False)
class Chunk:
    """The requests of one chunk, and the future of the response to each."""

    requests: Sequence[tuple[Scored, Future[Response]]]
    _prepared: list[tuple[Scored, Future[Response], Images]] = field(default_factory=list)

    def submit(self, batches: AsyncEngine) -> None:
        """Have the images prepared and scored by another thread, which ends the futures."""
        batches.submit(self._prepare, len(self.requests)).add_done_callback(lambda scores: self._end(batches, scores))

    def _prepare(self) -> Images:
        for request, responded in self.requests:
            try:
                self._prepared.append((request, responded, request.prepare()))
            except Exception as exc:
                _conclude(request, responded, _failing(exc))
        if not self._prepared:
            raise NothingToScore
        if len(self._prepared) == 1:
            return self._prepared[0][2]
        return np.concatenate([images for _, _, images in self._prepared])

    def _end(self, batches: AsyncEngine, made: Future[Scores]) -> None:
        if made.cancelled():
            for _, responded in self.requests:
                responded.set_exception(CancelledError())
            return
        if failure := made.exception():
            self._score_each(batches, failure)
            return
        scores = made.result()
        for row, (request, responded, _) in enumerate(self._prepared):
            _conclude(request, responded, _given(scores[row : row + 1]))

    def _score_each(self, batches: AsyncEngine, failure: BaseException) -> None:
        """Score each image by itself, because one of them may have made the others fail."""
        prepared = self._prepared
        if not prepared:
            failure.__traceback__ = None  # its frames hold the future: a cycle for the garbage collector
            return
        if len(prepared) == 1:
            request, responded, _ = prepared[0]
            _conclude(request, responded, _failing(failure))
            return
        for request, responded, images in prepared:
            alone = Chunk([(request, responded)], [(request, responded, images)])
            batches.submit(_given(images), 1).add_done_callback(lambda scores, alone=alone: alone._end(batches, scores))  # type: ignore[misc]


def _given(value: Images) -> Callable[[], Images]:
    return lambda: value


def _failing(failure: BaseException) -> Callable[[], Scores]:
    def fail() -> Scores:
        raise failure

    return fail


def _conclude(request: Scored, responded: Future[Response], scores: Callable[[], Scores]) -> None:
    try:
        responded.set_result(request.conclude(scores))
    except Exception as exc:
        responded.set_exception(exc)
