"""Drift by class, accuracy without labels, and the share of refused images."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.drift import SIGNIFICANT, STRONG, Reference, assess, class_tests, expected_accuracy, holm, share
from model.labels import Prediction

LABELS = [f"class {number}" for number in range(10)]
EVEN = Reference(2000, dict.fromkeys(LABELS, 200), dict.fromkeys(LABELS, 0.9), (0.0, 0.9, 1.0), (1000, 1000))


def recent(counts: dict[str, int]) -> list[Prediction]:
    """Predictions with these labels; their scores are half below 0.9 and half above, as in the reference."""
    return [Prediction(label, (0.85, 0.95)[n % 2]) for label, count in counts.items() for n in range(count)]


def test_one_class_of_ten_is_found_though_the_index_is_low() -> None:
    counts = dict.fromkeys(LABELS, 100) | {"class 3": 30, "class 4": 170}
    found = assess(EVEN, recent(counts))
    assert found.drift.labels < STRONG and found.drift.scores < STRONG
    assert {test.label for test in found.classes if test.significant} == {"class 3", "class 4"}
    assert len(found.reasons) == 2 and found.reasons[0].startswith("class 3 is predicted for 3.0% of the images")


def test_more_of_the_same_rarely_alarms() -> None:
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(400):
        counts = dict(zip(LABELS, rng.multinomial(1000, [0.1] * 10).tolist(), strict=True))
        reference = dict(zip(LABELS, rng.multinomial(2000, [0.1] * 10).tolist(), strict=True))
        tests = class_tests(Reference(2000, reference, {}, (0.0, 1.0), (2000,)), counts)
        alarms += any(test.significant for test in tests)
    assert alarms <= 400 * SIGNIFICANT + 8


def test_an_index_below_the_limit_is_no_reason() -> None:
    even = assess(EVEN, recent(dict.fromkeys(LABELS, 100)))
    assert even.reasons == () and even.drift.level == "none"
    scores = [Prediction(label, 0.95 if n < 66 else 0.85) for label in LABELS for n in range(100)]
    some = assess(EVEN, scores)
    assert some.drift.level == "some" and some.reasons == ()
    strong = assess(EVEN, [Prediction(label, 0.95) for label in LABELS for _ in range(100)])
    assert strong.reasons and "scores has a stability index" in strong.reasons[0]


@pytest.mark.parametrize(
    ("expected", "found", "images"), [(200, 30, 1000), (200, 100, 1000), (200, 3, 20), (0, 4, 50), (1999, 40, 50)]
)
def test_the_test_of_a_class_is_chi_square_with_yates(expected: int, found: int, images: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    reference = Reference(2000, {"a": expected, "b": 2000 - expected}, {}, (0.0, 1.0), (2000,))
    raw = class_tests(reference, {"a": found, "b": images - found})[0].p
    judge = stats.chi2_contingency([[expected, 2000 - expected], [found, images - found]], correction=True).pvalue
    assert raw == pytest.approx(min(1.0, 2 * judge))  # two labels: Holm doubles the smallest


def test_holm_is_the_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []


def test_a_class_that_neither_has_is_no_drift() -> None:
    reference = Reference(10, {"a": 10, "b": 0}, {}, (0.0, 1.0), (10,))
    assert [test.p for test in class_tests(reference, {"a": 5})] == [1.0, 1.0]


def test_expected_accuracy_covers_the_true_one_of_calibrated_scores() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        scores = rng.uniform(0.3, 1, 500)
        right = float((rng.random(500) < scores).mean())
        estimate = expected_accuracy([Prediction("a", float(score)) for score in scores])
        covered += estimate.low <= right <= estimate.high
        assert estimate.value == pytest.approx(scores.mean())
    assert 0.91 * 300 <= covered <= 0.99 * 300
    with pytest.raises(ValueError, match="no recent predictions"):
        expected_accuracy([])


def test_a_share_has_wilsons_interval() -> None:
    # Known values of the score interval: Newcombe, "Two-sided confidence intervals for the single proportion" (1998).
    found = share(81, 263)
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.308, 0.2553, 0.3662)
    assert (round(share(0, 20).high, 4), share(0, 20).low) == (0.1611, 0.0)
    assert (share(0, 0).low, share(0, 0).high) == (0.0, 1.0)
    assert assess(EVEN, recent(dict.fromkeys(LABELS, 9)), refused=10).refused.value == pytest.approx(0.1)
    assert math.isclose(share(1, 1).high, 1.0)
