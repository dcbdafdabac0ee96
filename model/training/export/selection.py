"""The gate: of the forms of a network, the fastest that still answers like it; at equal speed the simplest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from model.engines.base import Scores
from model.metrics import Numbers
from model.training.export.benchmark import Speed

MIN_AGREEMENT = 0.995
MAX_DROP = 0.005
MARGIN = 0.05
"""How much faster a form must be to be preferred to a simpler one, however quiet the machine was."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form, as measured. `agreement` with the model's best labels and `drop` of its accuracy are shares of the
    images it was tried on, `drop` None where nobody knows their labels; `size` is bytes."""

    variant: str
    size: int
    agreement: float
    drop: float | None
    speed: Speed

    @property
    def passes(self) -> bool:
        """Whether it answers like the model that it was made from."""
        return self.agreement >= MIN_AGREEMENT and (self.drop is None or self.drop <= MAX_DROP)


def faithfulness(scores: Scores, reference: Scores, labels: Numbers | None) -> tuple[float, float | None]:
    """Agreement with the reference's best labels, and how much accuracy is lost against it; shares of the images.

    Scores [N, labels]; `labels` [N]: the right ones, without which nothing is known of accuracy. A score that is not a
    number agrees with nothing.
    """
    best, trained = scores.argmax(axis=1), reference.argmax(axis=1)
    sane = np.isfinite(scores).all(axis=1)
    agreement = float(((best == trained) & sane).mean())
    if labels is None:
        return agreement, None
    return agreement, float((trained == labels).mean() - ((best == labels) & sane).mean())


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The one to serve of candidates in the order of their simplicity: the simplest that is as fast as the fastest.

    The first candidate is the uncompressed one, which needs not pass.
    """
    passing = [candidates[0], *(candidate for candidate in candidates[1:] if candidate.passes)]
    fastest = max(passing, key=lambda candidate: candidate.speed.images_per_second)
    return next(candidate for candidate in passing if not clearly_faster(fastest.speed, candidate.speed))


def clearly_faster(speed: Speed, other: Speed) -> bool:
    """Whether the difference of two speeds that were measured in turns is more than noise.

    The median of the rounds' ratios must be above 1 by MARGIN, and by twice what the ratios typically stray from it.
    """
    ratios = [mine / yours for mine, yours in zip(speed.rounds, other.rounds, strict=True)]
    middle = median(ratios)
    return middle > 1 + max(MARGIN, 2 * median(abs(ratio - middle) for ratio in ratios))
