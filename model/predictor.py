"""The pure core: image bytes in, ranked labels out. No clock, no network, no environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from model.batching import submit
from model.engine import Engine, Images, Scores
from model.explain import explain
from model.images import Limits
from model.labels import Explanation, Prediction
from model.later import then
from model.preprocess import preprocess
from model.room import Room

DIGITS = 4
"""Decimals of a score: runtimes agree to more, and a redelivery must give the same answer."""


DECODE_BYTES = 200_000_000
"""Memory that decoding takes at once, where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """Everything between an image and its ranked labels. Callable from any thread."""

    engine: Engine
    limits: Limits = field(default_factory=Limits)
    room: Room = field(default_factory=lambda: Room(DECODE_BYTES))

    def prepare(self, image: bytes) -> Images:
        """Decode and preprocess one image file: [1, height, width, channels]. Raises InvalidImage."""
        return preprocess(image, self.engine.signature, self.limits, self.room)

    def predict(self, prepared: Images, top_k: int) -> tuple[Prediction, ...]:
        """The `top_k` best labels of one prepared image (all of them when there are fewer), best first."""
        return rank(self.engine.score(prepared)[0], self.engine.signature.labels, top_k)

    def predict_later(self, prepare: Callable[[], Images], top_k: int) -> Future[tuple[Prediction, ...]]:
        """Like `predict`, of what `prepare` gives; later, where the engine gathers batches, which prepares it too."""
        labels = self.engine.signature.labels
        return then(submit(self.engine, prepare), lambda scores: rank(scores.result()[0], labels, top_k))

    def predict_each(self, prepared: Sequence[Images], top_k: int) -> list[tuple[Prediction, ...]]:
        """The same of each of several prepared images, at least one, which are scored at once."""
        scores = self.engine.score(np.concatenate(prepared))
        return [rank(row, self.engine.signature.labels, top_k) for row in scores]

    def explain(self, prepared: Images, label: str) -> Explanation:
        """Which part of one prepared image decided for `label`."""
        return explain(self.engine, prepared, self.engine.signature.labels.index(label))


def rank(scores: Scores, labels: tuple[str, ...], top_k: int) -> tuple[Prediction, ...]:
    """The `top_k` best of `scores` [labels], best first; equal scores keep the labels' order.

    Raises ArithmeticError when a score is not a number: a broken model must not answer.
    """
    if not np.isfinite(scores).all():
        raise ArithmeticError("the model gave a score that is not a number")
    best = np.argsort(-scores, kind="stable")[:top_k]
    return tuple(Prediction(labels[i], round(float(scores[i]), DIGITS)) for i in best)
