"""Predicts ranked labels from the bytes of an image file, without clock, network or environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from model.engines.base import Engine, Images, Scores
from model.explain import explain
from model.images.limits import Limits
from model.images.memory_budget import MemoryBudget
from model.labels import Explanation, Prediction
from model.preprocessing.recipe import preprocess

Predictions = tuple[Prediction, ...]

# Decimals of a score. Runtimes agree to more decimals, and a redelivery must get the same response.
DIGITS = 4

# Labels that a response of a multi-label model lists.
MAX_ASSIGNED = 100

# Default memory budget for decoding, in bytes.
DECODE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Predictor:
    """Decodes, preprocesses, scores and ranks images. Callable from any thread."""

    engine: Engine
    limits: Limits = field(default_factory=Limits)
    memory_budget: MemoryBudget = field(default_factory=lambda: MemoryBudget(DECODE_BYTES))

    @property
    def max_bytes(self) -> int:
        """Most bytes of an image file."""
        return self.limits.max_bytes

    @property
    def device(self) -> str:
        """What scores: `CPU`, or the name of a GPU."""
        return self.engine.device

    def prepare(self, image: bytes) -> Images:
        """Decode and preprocess one image file: [1, height, width, channels]. Raises InvalidImage."""
        return preprocess(image, self.engine.signature, self.limits, self.memory_budget)

    def rank(self, scores: Scores, top_k: int) -> Predictions:
        """The `top_k` best labels by `scores` [labels], best first; all labels when there are fewer."""
        return rank(scores, self.engine.signature.labels, top_k)

    def assigned(self, scores: Scores) -> tuple[str, ...] | None:
        """The labels of an image by `scores` [labels], best first, at most MAX_ASSIGNED; None unless the model is
        multi-label."""
        signature = self.engine.signature
        if not signature.multi_label:
            return None
        found = rank(scores, signature.labels, MAX_ASSIGNED)
        return tuple(each.label for each in found if each.score >= signature.threshold)

    def predict(self, prepared: Images, top_k: int) -> Predictions:
        """The `top_k` best labels of one prepared image [1, height, width, channels]."""
        return self.rank(self.engine.score(prepared)[0], top_k)

    def predict_each(self, prepared: Sequence[Images], top_k: int) -> list[Predictions]:
        """The `top_k` best labels of each of several prepared images, at least one, scored in one call."""
        return [self.rank(row, top_k) for row in self.engine.score(np.concatenate(prepared))]

    def explain(self, prepared: Images, label: str) -> Explanation:
        """Which part of one prepared image decided for `label`."""
        return explain(self.engine, prepared, self.engine.signature.labels.index(label))

    def features(self, prepared: Images) -> bytes | None:
        """The features of one prepared image, as little-endian float16 numbers.

        None when the model has none with its engine, or when they are too large for float16.
        """
        found = self.engine.features(prepared)
        if found is None:
            return None
        with np.errstate(over="ignore"):
            packed = found[0].astype("<f2")
        return packed.tobytes() if np.isfinite(packed).all() else None


def rank(scores: Scores, labels: tuple[str, ...], top_k: int) -> Predictions:
    """The `top_k` best of `scores` [labels], best first; equal scores keep the labels' order.

    Raises ArithmeticError when a score is not a number: a broken model must not predict.
    """
    if not np.isfinite(scores).all():
        raise ArithmeticError("the model gave a score that is not a number")
    best = np.argsort(-scores, kind="stable")[:top_k]
    ranked = zip(best.tolist(), scores[best].tolist(), strict=True)
    return tuple(Prediction(labels[i], round(score, DIGITS)) for i, score in ranked)
