"""Baselines that a model must beat: the most frequent label, and logistic regression on small grey images."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from model.metrics import Mask, Numbers

# Folds of the cross-validation.
FOLDS = 5

# Images that logistic regression is fitted on. More take minutes.
MAX_IMAGES = 2000


def majority(right: Mask) -> float:
    """The accuracy of always predicting the label that is correct most often; `right` [N, labels]."""
    return float(right.mean(axis=0).max())


def logistic_regression(pixels: npt.NDArray[np.float32], truth: Numbers, right: Mask) -> float | None:
    """The cross-validated accuracy on these images; None when fewer than two labels have enough images.

    `pixels` [N, values]; `truth` [N]: the training labels; `right` [N, labels]: the labels that count as correct.
    """
    from sklearn.exceptions import ConvergenceWarning  # the import takes a second
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(0).permutation(len(truth))[:MAX_IMAGES]
    rows = rows[np.bincount(truth[rows])[truth[rows]] >= FOLDS]
    if len(set(truth[rows].tolist())) < 2:
        return None
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    # One thread: with matrices this small, several threads mostly wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unconverged fit is still a valid baseline
        best = cross_val_predict(
            fitted, pixels[rows], truth[rows], cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        )
    return float(right[rows, best].mean())
