"""What a model must beat: always answering with the commonest label, and logistic regression on small gray pictures."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from model.metrics import Mask, Numbers

FOLDS = 5
MOST = 2000
"""Images that logistic regression is fitted on: more of them take minutes."""


def majority(right: Mask) -> float:
    """The accuracy of always answering with the label that is right most often; `right` [N, labels]."""
    return float(right.mean(axis=0).max())


def logistic_regression(pixels: npt.NDArray[np.float32], truth: Numbers, right: Mask) -> float | None:
    """The cross-validated accuracy on these very images; None when fewer than two labels have images enough.

    `pixels` [N, values]; `truth` [N] is what it learns, `right` [N, labels] what counts as right.
    """
    rows = np.random.default_rng(0).permutation(len(truth))[:MOST]
    rows = rows[np.bincount(truth[rows])[truth[rows]] >= FOLDS]
    if len(set(truth[rows].tolist())) < 2:
        return None
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    # One thread: on matrices this small they wait for each other most of the time.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that is not finished is a baseline all the same
        best = cross_val_predict(
            fitted, pixels[rows], truth[rows], cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        )
    return float(right[rows, best].mean())
