"""Metrics of predictions, compared with values worked out by hand and with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.metrics import accuracy, calibration, class_figures, confusion, macro, top_k_accuracy

TRUTH = np.array([0, 0, 0, 1, 1, 2])
BEST = np.array([0, 0, 1, 1, 1, 0])


def test_metrics_match_values_worked_out_by_hand() -> None:
    matrix = confusion(TRUTH, BEST, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert accuracy(matrix) == pytest.approx(4 / 6)
    first, second, third, absent = class_figures(matrix)
    assert (first.precision, first.recall, first.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (second.precision, second.recall, second.f1) == pytest.approx((2 / 3, 1.0, 0.8))
    assert (third.images, third.answers, third.precision, third.recall, third.f1) == (1, 0, None, 0.0, 0.0)
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)
    # A label that no image has does not count; one that is never answered counts as precision 0.
    assert macro([first, second, third, absent]) == pytest.approx((4 / 9, 5 / 9, (2 / 3 + 0.8) / 3))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_a_confusion_matrix_counts_every_image_once(pairs: list[tuple[int, int]]) -> None:
    truth, best = (np.array(column) for column in zip(*pairs, strict=True))
    matrix = confusion(truth, best, 5)
    assert matrix.sum() == len(pairs)
    assert accuracy(matrix) == pytest.approx((truth == best).mean())
    for label, figures in enumerate(class_figures(matrix)):
        assert (figures.images, figures.answers) == ((truth == label).sum(), (best == label).sum())
        if figures.precision and figures.recall:
            harmonic = 2 / (1 / figures.precision + 1 / figures.recall)
            assert figures.f1 == pytest.approx(harmonic)


def test_any_right_label_among_the_best_counts() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]], np.float32)
    right = np.array([[False, True, False], [True, True, False], [False, False, True]])
    assert [top_k_accuracy(scores, right, k) for k in (1, 2, 3)] == pytest.approx([0, 2 / 3, 1])


def test_calibration_is_the_gap_between_scores_and_truth() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.55, 0.55], np.float32)
    right = np.array([True, True, True, False, True, True])
    found = calibration(confidence, right, bins=10)
    assert found.error == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.45, abs=1e-6)
    assert [(bin.images, bin.accuracy) for bin in found.bins if bin.images] == [(2, 1.0), (4, 0.75)]
    assert calibration(np.array([0.0, 1.0], np.float32), np.array([False, True])).error == 0


@given(st.integers(2, 10), st.integers(0, 2**32 - 1))
def test_scores_that_are_frequencies_are_calibrated(level: int, seed: int) -> None:
    right = np.random.default_rng(seed).permutation(100) < 10 * level
    found = calibration(np.full(100, level / 10, np.float32), right)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert sum(bin.images for bin in found.bins) == 100
