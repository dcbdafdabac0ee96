"""Metrics of predictions: accuracy, precision, recall, calibration. NumPy only; no TensorFlow.

Rows of arrays are images; labels are numbers from 0, the columns of the scores.
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
    """One label's metrics, 0..1, and how often it is predicted (`answers`).

    None means undefined: precision when the label is never predicted, recall and F1 when no image has it.
    """

    images: int
    answers: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions whose best score is above `low` and at most `high`: their number, mean score and accuracy."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """`error`: the mean difference between best scores and accuracy (expected calibration error; 0 is best)."""

    error: float
    bins: tuple[Bin, ...]


def confusion(truth: Numbers, best: Numbers, labels: int) -> Numbers:
    """The confusion matrix [labels, labels]: how many images of each label (row) got each prediction (column)."""
    return np.bincount(truth * labels + best, minlength=labels * labels).reshape(labels, labels).astype(np.int64)


def accuracy(matrix: Numbers) -> float:
    """The share of images with a correct prediction; 0 when there are no images."""
    return float(np.trace(matrix) / max(1, matrix.sum()))


def class_figures(matrix: Numbers) -> list[ClassFigures]:
    """Precision, recall and F1 of each label of a confusion matrix."""
    figures = []
    for right, images, predicted in zip(np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0), strict=True):
        precision = float(right / predicted) if predicted else None
        recall = float(right / images) if images else None
        f1 = float(2 * right / (images + predicted)) if images else None
        figures.append(ClassFigures(int(images), int(predicted), precision, recall, f1))
    return figures


def macro(figures: Sequence[ClassFigures]) -> tuple[float, float, float]:
    """Mean precision, recall and F1 over the labels of the images. A label that is never predicted has precision 0."""
    present = [figure for figure in figures if figure.images]
    if not present:
        return 0.0, 0.0, 0.0
    rows = [(figure.precision or 0.0, figure.recall or 0.0, figure.f1 or 0.0) for figure in present]
    precision, recall, f1 = np.mean(rows, axis=0).tolist()
    return precision, recall, f1


def top_k_accuracy(scores: Scores, right: Mask, k: int) -> float:
    """The share of images with a correct label among the `k` best; `right` [N, labels] marks the correct labels."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(right, best, axis=1).any(axis=1).mean())


def calibration(confidence: npt.NDArray[np.float32], right: Mask, bins: int = 15) -> Calibration:
    """Compare the best scores [N] with whether they were correct [N].

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
