"""Variant selection: serve the fastest variant that still predicts like the network; at equal speed the simplest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from model.engines.base import Scores
from model.metrics import Numbers
from model.training.export.benchmark import Speed, same_labels

# The variants, simplest first. float16: float16 weights; dynamic: int8 weights, activations quantised per call; int8:
# both int8, calibrated.
VARIANTS = "float32", "float16", "dynamic", "int8"

# Least share of images with the network's own best label.
MIN_AGREEMENT = 0.995

# Largest loss of accuracy, as a share of the images.
MAX_DROP = 0.005

# A variant is preferred to a simpler one only when it is faster by this share, even without measurement noise.
MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measured variant. `agreement` with the model's best labels and `drop` of its accuracy are shares of the images
    that it was compared on (`drop` is None when their labels are unknown); `size` is bytes."""

    variant: str
    size: int
    agreement: float
    drop: float | None
    speed: Speed

    @property
    def passes(self) -> bool:
        """Whether it predicts like the model that it was made from."""
        return self.agreement >= MIN_AGREEMENT and (self.drop is None or self.drop <= MAX_DROP)


def faithfulness(
    scores: Scores, reference: Scores, labels: Numbers | None, cut: float | None = None
) -> tuple[float, float | None]:
    """Agreement with the reference's labels, and the loss of accuracy against it, as shares of the images.

    Scores [N, labels]; `labels` [N]: the true labels, or None, which leaves the accuracy unknown; `cut`: see `compare`.
    A row of scores with a NaN agrees with nothing.
    """
    best, trained = scores.argmax(axis=1), reference.argmax(axis=1)
    sane = np.isfinite(scores).all(axis=1)
    agreement = float((same_labels(scores, reference, cut) & sane).mean())
    if labels is None:
        return agreement, None
    return agreement, float((trained == labels).mean() - ((best == labels) & sane).mean())


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """Select the variant to serve: the simplest one that is as fast as the fastest. `candidates` go from simple up.

    The first candidate is the uncompressed one, which always passes.
    """
    passing = [candidates[0], *(candidate for candidate in candidates[1:] if candidate.passes)]
    fastest = max(passing, key=lambda candidate: candidate.speed.images_per_second)
    return next(candidate for candidate in passing if not clearly_faster(fastest.speed, candidate.speed))


def clearly_faster(speed: Speed, other: Speed) -> bool:
    """Whether the difference of two speeds that were measured in turns exceeds the noise.

    The median ratio of the rounds must exceed 1 by MARGIN, and by twice the ratios' median deviation from it.
    """
    ratios = [mine / yours for mine, yours in zip(speed.rounds, other.rounds, strict=True)]
    middle = median(ratios)
    return middle > 1 + max(MARGIN, 2 * median(abs(ratio - middle) for ratio in ratios))
