"""Scores images with the members of a combined model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.artifact.composition import CASCADE, Composition
from model.engines.base import Scores
from model.predictor import Predictions, Predictor


class Combination:
    """Decodes, preprocesses and scores images with each member, as far as needed. Callable from any thread."""

    def __init__(self, composition: Composition, members: Sequence[Predictor]) -> None:
        self._members, self._first = members, members[0]
        self._threshold = composition.threshold if composition.kind == CASCADE else None
        labels = self._first.engine.signature.labels
        self._orders = [[member.engine.signature.labels.index(label) for label in labels] for member in members]

    @property
    def max_bytes(self) -> int:
        """Most bytes of an image file."""
        return self._first.max_bytes

    @property
    def device(self) -> str:
        """What scores: `CPU`, or the name of a GPU."""
        return self._first.device

    def score(self, image: bytes) -> Scores:
        """The scores [1, labels] of one image file; blocks. Raises InvalidImage."""
        found: list[Scores] = []
        for member, order in zip(self._members, self._orders, strict=True):
            found.append(member.engine.score(member.prepare(image))[:, order])
            if self._threshold is not None and found[-1].max() >= self._threshold:
                break
        return found[-1] if self._threshold is not None else np.mean(found, axis=0, dtype=np.float32)

    def rank(self, scores: Scores, top_k: int) -> Predictions:
        """As Predictor.rank."""
        return self._first.rank(scores, top_k)

    def assigned(self, scores: Scores) -> tuple[str, ...] | None:
        """As Predictor.assigned."""
        return self._first.assigned(scores)
