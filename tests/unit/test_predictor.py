"""The predictor: ranked labels, and equal scores for an image alone and in a batch."""

from __future__ import annotations

import numpy as np
import pytest

from model.labels import Prediction, parse_labels
from model.predictor import Predictor, rank
from tests.fakes import LABELS, BrightnessEngine
from tests.samples import encoded


def test_rank_gives_the_best_first_and_keeps_the_order_of_equals() -> None:
    scores = np.array([0.2, 0.4, 0.4], np.float32)
    assert rank(scores, LABELS, 2) == (Prediction("middle", 0.4), Prediction("light", 0.4))
    assert len(rank(scores, LABELS, 100)) == 3


def test_rank_refuses_nan() -> None:
    with pytest.raises(ArithmeticError):
        rank(np.array([0.1, np.nan], np.float32), ("a", "b"), 1)


def test_predict_is_a_function_of_the_bytes() -> None:
    predictor = Predictor(BrightnessEngine())
    data = encoded("PNG")
    first, second = (predictor.predict(predictor.prepare(data), 3) for _ in range(2))
    assert first == second
    assert [round(p.score, 4) for p in first] == [p.score for p in first]


def test_a_batch_scores_like_single_images() -> None:
    engine = BrightnessEngine()
    predictor = Predictor(engine)
    prepared = [predictor.prepare(encoded("PNG", mode=mode)) for mode in ("L", "RGB", "1")] + [
        np.full((1, 4, 4, 1), 0.1, np.float32)
    ]
    several = predictor.predict_each(prepared, 2)
    assert engine.sizes == [4]
    assert several == [predictor.predict(each, 2) for each in prepared]
    assert len(set(several)) > 1


@pytest.mark.parametrize(
    ("text", "words"), [("", "no label"), ("a\n\nb\n", "line 2 is empty"), ("a\nb\na\n", "'a' more than once")]
)
def test_bad_labels_are_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_labels(text)


def test_labels_are_read_from_lines() -> None:
    assert parse_labels("T-shirt/top\nAnkle boot\n") == ("T-shirt/top", "Ankle boot")
