"""The gate: of the compressed forms of a network, the fastest that still answers like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.engine import Scores
from model.training.measure import Speed

MIN_AGREEMENT = 0.995
MAX_DROP = 0.005


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form, as measured. `agreement` with the trained network's best labels and `drop` of its accuracy are shares
    of the validation images; `size` is bytes."""

    variant: str
    size: int
    agreement: float
    drop: float
    speed: Speed

    @property
    def passes(self) -> bool:
        """Whether it answers like the network that was trained."""
        return self.agreement >= MIN_AGREEMENT and self.drop <= MAX_DROP


def faithfulness(scores: Scores, reference: Scores, labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Agreement with the reference's best labels, and how much accuracy is lost against it; shares of the images.

    Scores [N, labels]. A score that is not a number agrees with nothing.
    """
    best, trained = scores.argmax(axis=1), reference.argmax(axis=1)
    sane = np.isfinite(scores).all(axis=1)
    agreement = ((best == trained) & sane).mean()
    return float(agreement), float((trained == labels).mean() - ((best == labels) & sane).mean())


def fastest(candidates: Sequence[Candidate]) -> Candidate:
    """The one to serve; the first candidate is the uncompressed one, which needs not pass."""
    passing = [candidates[0], *(candidate for candidate in candidates[1:] if candidate.passes)]
    return max(passing, key=lambda candidate: candidate.speed.images_per_second)
