"""Ranking and batching."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batching import MicroBatcher
from model.engine import Images, Scores
from model.errors import Withdrawn
from model.labels import Prediction, parse_labels
from model.predictor import Predictor, rank
from tests.fakes import LABELS, BrightnessEngine
from tests.samples import encoded


def batch(value: float) -> Images:
    return np.full((1, 4, 4, 1), value, np.float32)


def scored(scores: Callable[[], Scores]) -> Scores:
    return scores()


def test_rank_gives_the_best_first_and_keeps_the_order_of_equals() -> None:
    scores = np.array([0.2, 0.4, 0.4], np.float32)
    assert rank(scores, LABELS, 2) == (Prediction("middle", 0.4), Prediction("light", 0.4))
    assert len(rank(scores, LABELS, 100)) == 3


def test_rank_refuses_what_is_not_a_number() -> None:
    with pytest.raises(ArithmeticError):
        rank(np.array([0.1, np.nan], np.float32), ("a", "b"), 1)


def test_predict_is_a_function_of_the_bytes() -> None:
    predictor = Predictor(BrightnessEngine())
    data = encoded("PNG")
    first, second = (predictor.predict(predictor.prepare(data), 3) for _ in range(2))
    assert first == second
    assert [round(p.score, 4) for p in first] == [p.score for p in first]


def test_several_at_once_are_answered_like_each() -> None:
    engine = BrightnessEngine()
    predictor = Predictor(engine)
    prepared = [predictor.prepare(encoded("PNG", mode=mode)) for mode in ("L", "RGB", "1")] + [batch(0.1)]
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


def test_labels_are_lines() -> None:
    assert parse_labels("T-shirt/top\nAnkle boot\n") == ("T-shirt/top", "Ankle boot")


@settings(max_examples=40)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(1, 9))
def test_batching_never_mixes_answers(values: list[int], size: int) -> None:
    engine = BrightnessEngine()
    batcher = MicroBatcher(engine, max_batch_size=size, max_wait_s=0.001)
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda value: batcher.score(batch(value / 100))[0], values))
    batcher.close()
    oracle = BrightnessEngine()
    np.testing.assert_allclose(got, [oracle.score(batch(value / 100))[0] for value in values], rtol=1e-6)
    assert max(engine.sizes) <= size and sum(engine.sizes) == len(values)


class SlowEngine(BrightnessEngine):
    """Scores when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.entered = threading.Event()

    def score(self, images: Images, /) -> Scores:
        self.entered.set()
        assert self.go.wait(10)
        return super().score(images)


def test_a_busy_engine_fills_its_batches() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=4)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batcher.score, batch(0.5))
        assert engine.entered.wait(10)
        rest = [pool.submit(batcher.score, batch(0.5)) for _ in range(7)]
        deadline = time.monotonic() + 10
        while batcher._jobs.qsize() < 7:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        engine.go.set()
        for future in [first, *rest]:
            assert future.result(10).shape == (1, 3)
    assert engine.sizes == [1, 4, 3]
    batcher.close()


class PickyEngine(BrightnessEngine):
    def score(self, images: Images, /) -> Scores:
        if (images == 13).any():
            raise RuntimeError("unlucky")
        return super().score(images)


def test_one_bad_image_does_not_fail_its_neighbours() -> None:
    batcher = MicroBatcher(PickyEngine(), max_batch_size=4, max_wait_s=0.05)

    def outcome(value: float) -> bool:
        try:
            return batcher.score(batch(value)).shape == (1, 3)
        except RuntimeError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, [1, 13, 2, 3])) == [True, False, True, True]
    batcher.close()


def test_a_batch_of_several_is_kept_whole_and_within_the_limit() -> None:
    engine = BrightnessEngine()
    batcher = MicroBatcher(engine, max_batch_size=4, max_wait_s=0.05)
    with ThreadPoolExecutor(3) as pool:
        shapes = list(pool.map(lambda n: batcher.score(np.zeros((n, 4, 4, 1), np.float32)).shape, [3, 3, 2]))
    assert shapes == [(3, 3), (3, 3), (2, 3)]
    assert max(engine.sizes) <= 4
    batcher.close()


def test_closing_answers_what_was_handed_in_then_refuses() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=2)
    with ThreadPoolExecutor(3) as pool:
        scored = pool.submit(batcher.score, batch(0.1))
        assert engine.entered.wait(10)
        closing = pool.submit(batcher.close)
        engine.go.set()
        assert scored.result(10).shape == (1, 3)
        closing.result(10)
    assert engine.closed
    with pytest.raises(RuntimeError, match="closed"):
        batcher.score(batch(0.1))
    batcher.close()


@pytest.mark.parametrize("wrong", [{"max_batch_size": 0}, {"max_batch_size": 1, "max_wait_s": -1}])
def test_the_knobs_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        MicroBatcher(BrightnessEngine(), **wrong)


def test_several_threads_score_at_once_and_share_no_batch() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=2, scorers=2)
    futures = [batcher.submit(lambda: batch(0.5), scored) for _ in range(7)]
    assert engine.entered.wait(10)
    engine.go.set()
    assert [future.result(10).shape for future in futures] == [(1, 3)] * 7
    assert max(engine.sizes) == 2
    batcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(lambda: batch(0.5), scored)


def test_one_that_cannot_be_made_does_not_fail_its_neighbours() -> None:
    def broken() -> Images:
        raise ValueError("no image")

    batcher = MicroBatcher(BrightnessEngine(), max_batch_size=3, max_wait_s=0.2)
    good, bad, last = [batcher.submit(make, scored) for make in (lambda: batch(0.5), broken, lambda: batch(0.5))]
    assert good.result(10).shape == last.result(10).shape == (1, 3)
    with pytest.raises(ValueError, match="no image"):
        bad.result(10)
    batcher.close()


def test_what_waits_can_be_withdrawn_and_what_is_begun_is_not() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=1)
    begun = batcher.submit(lambda: batch(0.5), scored)
    assert engine.entered.wait(10)
    waiting = [batcher.submit(lambda: batch(0.5), scored) for _ in range(3)]
    batcher.withdraw()
    for future in waiting:
        with pytest.raises(Withdrawn):
            future.result(10)
    engine.go.set()
    assert begun.result(10).shape == (1, 3)
    after = batcher.submit(lambda: batch(0.5), scored)
    assert after.result(10).shape == (1, 3) and engine.sizes == [1, 1]
    batcher.close()


def test_what_was_handed_in_is_scored_before_it_closes() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=4, scorers=3)
    futures = [batcher.submit(lambda: batch(0.5), scored) for _ in range(9)]
    threading.Timer(0.05, engine.go.set).start()
    batcher.close()
    assert all(future.done() for future in futures) and sum(engine.sizes) == 9
