"""The scores that a model's numbers mean."""

from __future__ import annotations

import numpy as np
import pytest

from model.engines.outputs import MEANINGS, as_scores, width_of


@pytest.mark.parametrize(
    ("outputs", "given", "scores"),
    [
        ("probabilities", [[0.2, 0.8]], [[0.2, 0.8]]),
        ("multilabel-probabilities", [[0.6, 0.8]], [[0.6, 0.8]]),
        ("logits", [[0, np.log(3)]], [[0.25, 0.75]]),
        ("logits", [[1000, 1000], [-1000, 1000]], [[0.5, 0.5], [0, 1]]),
        ("multilabel-logits", [[0, np.log(3), -1000, 1000]], [[0.5, 0.75, 0, 1]]),
        ("probability", [[0.25], [1]], [[0.75, 0.25], [0, 1]]),
        ("logit", [[-np.log(3)], [1000]], [[0.75, 0.25], [0, 1]]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_scores(outputs: str, given: list[list[float]], scores: list[list[float]]) -> None:
    found = as_scores(outputs, np.array(given, np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scores, atol=1e-6)
    assert width_of(outputs, found.shape[1]) == len(given[0])


def test_every_meaning_gives_scores_for_its_labels() -> None:
    for outputs in MEANINGS:
        assert as_scores(outputs, np.full((2, width_of(outputs, 2)), 0.5, np.float32)).shape == (2, 2)
