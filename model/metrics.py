"""Figures about answers: how often right, for which labels, how far scores can be believed. NumPy only; no TensorFlow.

Rows of arrays are images; labels are numbers from 0, as columns of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.engines.base import Scores

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One label's figures, 0..1; None where nothing can be said: no image has it, or no answer is it (precision)."""

    images: int
    answers: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers with a best score above `low` and at most `high`: how many, their mean score, the share that is right."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """`error`: by how much best scores differ from how often they are right, on average (0: they can be believed)."""

    error: float
    bins: tuple[Bin, ...]


def confusion(truth: Numbers, best: Numbers, labels: int) -> Numbers:
    """How many images of each label (rows) were answered with each label (columns): [labels, labels]."""
    return np.bincount(truth * labels + best, minlength=labels * labels).reshape(labels, labels).astype(np.int64)


def accuracy(matrix: Numbers) -> float:
    """The share of images that were answered rightly; 0 when there are none."""
    return float(np.trace(matrix) / max(1, matrix.sum()))


def class_figures(matrix: Numbers) -> list[ClassFigures]:
    """Precision, recall and F1 of each label of a confusion matrix."""
    figures = []
    for right, images, answers in zip(np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0), strict=True):
        precision = float(right / answers) if answers else None
        recall = float(right / images) if images else None
        f1 = float(2 * right / (images + answers)) if images else None
        figures.append(ClassFigures(int(images), int(answers), precision, recall, f1))
    return figures


def macro(figures: Sequence[ClassFigures]) -> tuple[float, float, float]:
    """Mean precision, recall and F1 over the labels that images have; one that is never answered has precision 0."""
    present = [figure for figure in figures if figure.images]
    if not present:
        return 0.0, 0.0, 0.0
    rows = [(figure.precision or 0.0, figure.recall or 0.0, figure.f1 or 0.0) for figure in present]
    precision, recall, f1 = np.mean(rows, axis=0).tolist()
    return precision, recall, f1


def top_k_accuracy(scores: Scores, right: Mask, k: int) -> float:
    """The share of images with a right label among their `k` best; `right` [N, labels] marks the right labels."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(right, best, axis=1).any(axis=1).mean())


def calibration(confidence: npt.NDArray[np.float32], right: Mask, bins: int = 15) -> Calibration:
    """Best scores [N] against whether they were right [N].

    Expected calibration error: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (2017), eq. 3.
    """
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    found, error = [], 0.0
    for place in range(bins):
        inside = places == place
        images = int(inside.sum())
        mean = float(confidence[inside].mean()) if images else None
        share = float(right[inside].mean()) if images else None
        found.append(Bin(float(edges[place]), float(edges[place + 1]), images, mean, share))
        if mean is not None and share is not None:
            error += images / len(right) * abs(mean - share)
    return Calibration(error, tuple(found))
