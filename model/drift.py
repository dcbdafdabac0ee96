"""Drift: whether recent predictions still resemble those on validation images. NumPy only; no TensorFlow.

The export stores a reference in the artifact's signature.json; a collector of responses compares recent ones with it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.engines.base import Scores
from model.errors import ArtifactError
from model.labels import Prediction

KEY = "reference"
BINS = 10

# A population stability index below 0.1 means no drift, above 0.25 a different population (Siddiqi, "Credit Risk
# Scorecards", 2006).
SOME, STRONG = 0.1, 0.25

# Error level of the class tests of one comparison together: a daily check of unchanged images alarms every 100 days.
SIGNIFICANT = 0.01

# Standard errors on each side of an interval of 95 %.
_WIDTH = 1.959964


@dataclass(frozen=True, slots=True)
class Reference:
    """The distribution of predictions on validation images.

    `counts`: images by best label; `mean_scores`: their mean best score (None when there are no such images). `edges`
    divide the best scores into bins of roughly equal numbers of images, and `histogram` counts them: edges[i] <= score
    < edges[i + 1], with the last bin closed.
    """

    images: int
    counts: Mapping[str, int]
    mean_scores: Mapping[str, float | None]
    edges: tuple[float, ...]
    histogram: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The form in which signature.json stores it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Drift:
    """The difference between recent predictions and the reference.

    `scores` and `labels` are population stability indices, less their expected value by chance for so few images (never
    below 0). `mean_scores`: the recent mean best score of each predicted label.
    """

    images: int
    scores: float
    labels: float
    mean_scores: Mapping[str, float]

    @property
    def level(self) -> str:
        """`none`, `some` or `strong`, by the larger of the two indices."""
        index = max(self.scores, self.labels)
        return "none" if index < SOME else "some" if index < STRONG else "strong"


@dataclass(frozen=True, slots=True)
class ClassTest:
    """Whether the share of predictions of one label differs from the reference.

    `expected` and `found` are shares, 0..1. `p` is the p-value of the two-sided test of two proportions, corrected for
    the number of labels (Holm).
    """

    label: str
    expected: float
    found: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether chance does not explain the difference."""
        return self.p < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class Share:
    """A share, 0..1, with its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """The drift of recent predictions, and what follows from it.

    `accuracy` is estimated without labels; see `expected_accuracy`. `refused` is the share of images with an error.
    """

    drift: Drift
    classes: tuple[ClassTest, ...]
    accuracy: Share
    refused: Share

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why this is drift, one sentence each; empty without drift. An index from SOME to STRONG is no reason."""
        indices = {"labels": self.drift.labels, "scores": self.drift.scores}
        found = [
            f"the distribution of {name} has a stability index of {index:.2f}, above {STRONG:g}"
            for name, index in indices.items()
            if index > STRONG
        ]
        found += [
            f"{test.label} is predicted for {test.found:.1%} of the images, and for {test.expected:.1%} of the "
            f"reference (p = {test.p:.1g})"
            for test in self.classes
            if test.significant
        ]
        return tuple(found)


def make_reference(scores: Scores, labels: Sequence[str]) -> Reference:
    """The reference for scores [N, labels] of validation images."""
    best, top = scores.argmax(axis=1), np.clip(scores.max(axis=1).astype(np.float64), 0.0, 1.0)
    edges = np.unique(np.round(np.quantile(top, np.linspace(0, 1, BINS + 1)[1:-1]), 4))
    edges = np.array([0.0, *(edge for edge in edges if 0 < edge < 1), 1.0])
    means = [round(float(top[best == n].mean()), 4) if (best == n).any() else None for n in range(len(labels))]
    counts = np.bincount(best, minlength=len(labels)).tolist()
    return Reference(
        len(scores),
        dict(zip(labels, counts, strict=True)),
        dict(zip(labels, means, strict=True)),
        tuple(edges.tolist()),
        tuple(np.histogram(top, edges)[0].tolist()),
    )


def read_reference(folder: Path) -> Reference:
    """The reference of the artifact in `folder`. Raises ArtifactError when it is missing or invalid."""
    path = folder / "signature.json"
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise ArtifactError(f"{path} cannot be read") from None
    return parse_reference(body, str(path))


def parse_reference(signature: Any, where: str) -> Reference:
    """The reference in the content of a signature.json. Raises ArtifactError, which names `where`."""
    if isinstance(signature, dict) and signature.get("multi_label") is True:
        raise ArtifactError(
            f"{where} is of a multi-label model; drift is measured only for labels that exclude each other"
        )
    if not isinstance(signature, dict) or KEY not in signature:
        raise ArtifactError(f"{where} holds no {KEY} to compare with: export the model again")
    try:
        return _parse(signature[KEY])
    except (KeyError, TypeError, ValueError) as exc:
        raise ArtifactError(f"{where}: {KEY} is damaged: {exc}") from exc


def compare(reference: Reference, recent: Sequence[Prediction]) -> Drift:
    """Compare the best predictions of recent images with the reference.

    Raises ValueError when there are none, or when one has a label outside the reference or a score that is not finite.
    """
    if not recent:
        raise ValueError("there are no recent predictions to compare")
    for prediction in recent:
        if prediction.label not in reference.counts:
            raise ValueError(f"label is {prediction.label!r}; it must be one of: {', '.join(reference.counts)}")
        if not math.isfinite(prediction.score):
            raise ValueError(f"score is {prediction.score}; it must be a number from 0 to 1")
    top = np.clip([prediction.score for prediction in recent], 0.0, 1.0)
    by_label: dict[str, list[float]] = {label: [] for label in reference.counts}
    for prediction in recent:
        by_label[prediction.label].append(prediction.score)
    return Drift(
        len(recent),
        _beyond_chance(np.array(reference.histogram), np.histogram(top, reference.edges)[0]),
        _beyond_chance(np.array(list(reference.counts.values())), np.array([len(s) for s in by_label.values()])),
        {label: round(float(np.mean(scores)), 4) for label, scores in by_label.items() if scores},
    )


def assess(reference: Reference, recent: Sequence[Prediction], refused: int = 0) -> Assessment:
    """Compare recent best predictions with the reference; `refused` more images got an error. Raises ValueError."""
    drift = compare(reference, recent)
    found = Counter(prediction.label for prediction in recent)
    return Assessment(
        drift, class_tests(reference, found), expected_accuracy(recent), share(refused, refused + len(recent))
    )


def class_tests(reference: Reference, found: Mapping[str, int]) -> tuple[ClassTest, ...]:
    """Test each label's share of the predictions against the reference, in the reference's order.

    The stability index over all labels hardly changes when one label of ten does, so each is tested alone: chi-square
    with Yates' correction. Source of the correction for several tests: Holm, "A Simple Sequentially Rejective Multiple
    Test Procedure" (1979).
    """
    images = sum(found.values())
    raw = [
        proportions_differ(count, reference.images, found.get(label, 0), images)
        for label, count in reference.counts.items()
    ]
    return tuple(
        ClassTest(label, count / reference.images, found.get(label, 0) / max(1, images), p)
        for (label, count), p in zip(reference.counts.items(), holm(raw), strict=True)
    )


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, in the same order."""
    corrected, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = least
    return corrected


def expected_accuracy(recent: Sequence[Prediction]) -> Share:
    """Estimate the accuracy without labels: the mean best score, with the interval of a sum of such chances.

    It is right only as far as the scores are calibrated for such images. Images of another kind often get high scores,
    so after drift the estimate is too high. Raises ValueError when there are no predictions.
    """
    if not recent:
        raise ValueError("there are no recent predictions to estimate from")
    top = np.clip([prediction.score for prediction in recent], 0.0, 1.0)
    mean, deviation = float(top.mean()), float(np.sqrt((top * (1 - top)).sum()) / len(top))
    return Share(mean, max(0.0, mean - _WIDTH * deviation), min(1.0, mean + _WIDTH * deviation))


def share(part: int, total: int) -> Share:
    """The share of `part` in `total` with Wilson's interval; 0 to 1 when `total` is 0."""
    if not total:
        return Share(0.0, 0.0, 1.0)
    p, z2 = part / total, _WIDTH**2 / total
    middle = (p + z2 / 2) / (1 + z2)
    width = math.sqrt(p * (1 - p) * z2 + z2**2 / 4) / (1 + z2)
    return Share(p, max(0.0, middle - width), min(1.0, middle + width))


def proportions_differ(expected: int, of_expected: int, found: int, of_found: int) -> float:
    """The p-value of the chi-square test of a 2 x 2 table with Yates' correction; 1 where nothing can differ."""
    total, hits = of_expected + of_found, expected + found
    if not of_found or hits in (0, total):
        return 1.0
    cross = abs(expected * (of_found - found) - found * (of_expected - expected))
    lowered = max(0.0, cross - total / 2)
    chi_square = total * lowered**2 / (of_expected * of_found * hits * (total - hits))
    return math.erfc(math.sqrt(chi_square / 2))


def stability_index(expected: npt.NDArray[np.int64], found: npt.NDArray[np.int64]) -> float:
    """The population stability index of two histograms (counts) over the same bins: 0 for equal shares.

    Half an image is added to each bin, so that no share is 0.
    """
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (expected, found))
    return float(((q - p) * np.log(q / p)).sum())


def _beyond_chance(expected: npt.NDArray[np.int64], found: npt.NDArray[np.int64]) -> float:
    """The stability index less its expected value for two samples of one population, but at least 0.

    Source: Yurdakul, "Statistical Properties of the Population Stability Index" (2018).
    """
    chance = (len(expected) - 1) * (1 / expected.sum() + 1 / found.sum())
    return round(max(0.0, stability_index(expected, found) - float(chance)), 4)


def _parse(body: Any) -> Reference:
    counts = {str(label): int(count) for label, count in body["counts"].items()}
    means = {str(label): None if mean is None else float(mean) for label, mean in body["mean_scores"].items()}
    edges, histogram = tuple(map(float, body["edges"])), tuple(map(int, body["histogram"]))
    if len(edges) != len(histogram) + 1 or list(edges) != sorted(set(edges)) or (edges[0], edges[-1]) != (0.0, 1.0):
        raise ValueError("edges must rise from 0 to 1 and number one more than the counts of histogram")
    images = int(body["images"])
    if not images == sum(histogram) == sum(counts.values()) or images < 1 or min(*histogram, *counts.values()) < 0:
        raise ValueError("counts and histogram must each sum to images")
    return Reference(images, counts, means, edges, histogram)
