"""Drift detection: similar predictions are no drift, other ones are, and damaged references are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.drift import KEY, Reference, compare, make_reference, read_reference, stability_index
from model.engines.base import Scores
from model.errors import ArtifactError
from model.labels import Prediction

LABELS = "cat", "dog", "newt"


def scores_of(images: int, seed: int, shares: tuple[float, ...] = (0.5, 0.4, 0.1), sure: float = 8.0) -> Scores:
    """Scores as a network gives them: mostly one high, labels in these shares."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (images, 3))
    logits[np.arange(images), rng.choice(3, images, p=shares)] += sure * rng.random(images)
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def best_of(scores: Scores) -> list[Prediction]:
    return [Prediction(LABELS[row.argmax()], round(float(row.max()), 4)) for row in scores]


REFERENCE = make_reference(scores_of(4000, 0), LABELS)


def test_a_reference_describes_labels_and_scores() -> None:
    scores = scores_of(4000, 0)
    assert REFERENCE.images == sum(REFERENCE.histogram) == sum(REFERENCE.counts.values()) == 4000
    cats = scores[scores.argmax(axis=1) == 0]
    assert REFERENCE.counts["cat"] == len(cats)
    assert REFERENCE.mean_scores["cat"] == pytest.approx(cats.max(axis=1).mean(), abs=1e-4)
    assert max(REFERENCE.histogram) < 1.2 * min(REFERENCE.histogram)


@pytest.mark.parametrize("images", [30, 300, 3000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_more_of_the_same_is_no_drift(images: int, seed: int) -> None:
    assert compare(REFERENCE, best_of(scores_of(images, seed))).level == "none"


def test_other_labels_and_other_scores_are_drift() -> None:
    labels = compare(REFERENCE, best_of(scores_of(500, 1, (0.1, 0.1, 0.8))))
    assert labels.labels > 1 and labels.level == "strong"
    unsure = compare(REFERENCE, best_of(scores_of(500, 1, sure=1.0)))
    assert unsure.scores > 1 > unsure.labels and unsure.level == "strong"
    assert unsure.mean_scores["cat"] < (REFERENCE.mean_scores["cat"] or 0)


def test_the_index_is_the_definition() -> None:
    expected, found = np.array([499, 499]), np.array([249, 749])
    p, q = np.array([0.5, 0.5]), np.array([249.5, 749.5]) / 999
    assert stability_index(expected, found) == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert stability_index(expected, expected) == 0
    assert np.isfinite(stability_index(np.array([5, 0]), np.array([0, 5])))


def test_a_model_with_constant_predictions_has_a_reference() -> None:
    reference = make_reference(np.tile(np.array([1, 0, 0], np.float32), (50, 1)), LABELS)
    assert reference.edges == (0.0, 1.0) and reference.mean_scores == {"cat": 1.0, "dog": None, "newt": None}
    assert compare(reference, [Prediction("cat", 1.0)] * 9).level == "none"
    assert compare(reference, [Prediction("dog", 1.0)] * 9).level == "strong"


def test_incomparable_references_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no recent predictions"):
        compare(REFERENCE, [])
    with pytest.raises(ValueError, match="label is 'fish'; it must be one of: cat, dog, newt"):
        compare(REFERENCE, [Prediction("fish", 0.5)])
    with pytest.raises(ValueError, match="score is nan; it must be a number from 0 to 1"):
        compare(REFERENCE, [Prediction("cat", 0.5), Prediction("dog", float("nan"))])


def write(folder: Path, **changes: Any) -> Path:
    (folder / "signature.json").write_text(json.dumps({"height": 1, KEY: REFERENCE.to_dict() | changes}))
    return folder


def test_a_reference_is_kept_in_the_signature(tmp_path: Path) -> None:
    found: Reference = read_reference(write(tmp_path))
    assert found == REFERENCE


@pytest.mark.parametrize(
    "changes",
    [
        {"images": 3999},
        {"histogram": [4000]},
        {"histogram": "many"},
        {"counts": {"cat": -1, "dog": 4001}},
        {"counts": {}, "images": 0},
        {"edges": [0.0, 0.5, 0.5, 1.0]},
        {"edges": None},
        {"mean_scores": {"cat": "high"}},
    ],
    ids=str,
)
def test_a_damaged_reference_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="reference is damaged"):
        read_reference(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ("{", "cannot be read"), ("{}", "holds no reference to compare with")]
)
def test_a_missing_reference_is_reported(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "signature.json").write_text(text)
    with pytest.raises(ArtifactError, match=said):
        read_reference(tmp_path)


def test_scores_a_hair_above_one_make_a_reference_that_can_be_read(tmp_path: Path) -> None:
    reference = make_reference(np.array([[1.0000001, 0, 0], [0.2, 0.5, 0.3]], np.float32), LABELS)
    (tmp_path / "signature.json").write_text(json.dumps({KEY: reference.to_dict()}))
    assert read_reference(tmp_path) == reference
