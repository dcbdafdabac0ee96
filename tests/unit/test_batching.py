"""Batching: which images are scored together, on which thread, and what happens to queued images."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.engines.base import Images, Scores
from model.engines.micro_batcher import MicroBatcher
from tests.fakes import BrightnessEngine
from tests.waiting import until


def batch(value: float) -> Images:
    return np.full((1, 4, 4, 1), value, np.float32)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(1, 9))
def test_batching_never_mixes_scores(values: list[int], size: int) -> None:
    engine = BrightnessEngine()
    batcher = MicroBatcher(engine, max_batch_size=size, max_wait_s=0.001)
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda value: batcher.score(batch(value / 100))[0], values))
    batcher.close()
    oracle = BrightnessEngine()
    np.testing.assert_allclose(got, [oracle.score(batch(value / 100))[0] for value in values], rtol=1e-6)
    assert max(engine.sizes) <= size and sum(engine.sizes) == len(values)


class SlowEngine(BrightnessEngine):
    """Scores when the test releases it."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.entered = threading.Event()
        self.waiting = 0

    def score(self, images: Images, /) -> Scores:
        self.waiting += 1
        self.entered.set()
        assert self.go.wait(10)
        return super().score(images)


def test_a_busy_engine_fills_its_batches() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=4)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(batcher.score, batch(0.5))
        assert engine.entered.wait(10)
        rest = [batcher.submit(lambda: batch(0.5)) for _ in range(7)]
        engine.go.set()
        for future in [first, *rest]:
            assert future.result(10).shape == (1, 3)
    assert engine.sizes == [1, 4, 3]
    batcher.close()


def test_a_caller_scores_alone_or_waits_for_a_batch() -> None:
    scored_by = set[str]()

    class Named(BrightnessEngine):
        def score(self, images: Images, /) -> Scores:
            scored_by.add(threading.current_thread().name)
            return super().score(images)

    for max_wait_s, by in ((0.0, threading.current_thread().name), (0.001, "micro-batcher-0")):
        batcher = MicroBatcher(Named(), max_batch_size=4, max_wait_s=max_wait_s)
        assert batcher.score(batch(0.5)).shape == (1, 3) and scored_by == {by}
        scored_by.clear()
        batcher.close()


def test_scoring_threads_limit_concurrent_batches() -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    class Counting(BrightnessEngine):
        def score(self, images: Images, /) -> Scores:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.001)
            with lock:
                at_once -= 1
            return super().score(images)

    batcher = MicroBatcher(Counting(), max_batch_size=2, scorers=2)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batcher.score, batch(0.5)) for _ in range(40)]
        later = [batcher.submit(lambda: batch(0.5)) for _ in range(40)]
        assert all(future.result(10).shape == (1, 3) for future in [*asked, *later])
    assert most == 2
    batcher.close()


def test_a_short_queue_is_shared_by_all_scoring_threads() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=8, scorers=2)
    begun = [batcher.submit(lambda: batch(0.5)) for _ in range(2)]
    assert until(lambda: engine.waiting == 2)
    few = [batcher.submit(lambda: batch(0.5)) for _ in range(6)]
    engine.go.set()
    assert all(future.result(10).shape == (1, 3) for future in [*begun, *few])
    assert max(engine.sizes) <= 3
    batcher.close()


def test_the_backlog_is_queue_length_times_latest_duration() -> None:
    image_s, engine = 0.01, SlowEngine()

    def made() -> Images:
        time.sleep(image_s)
        return batch(0.5)

    batcher = MicroBatcher(engine, max_batch_size=8)
    assert batcher.backlog_s() == 0
    engine.go.set()
    for _ in range(40):
        batcher.submit(made).result(10)
    engine.go.clear()
    engine.entered.clear()
    busy = batcher.submit(made)
    assert engine.entered.wait(10) and batcher.backlog_s() == 0
    waiting = [batcher.submit(made) for _ in range(6)]
    assert 6 * 0.9 * image_s < batcher.backlog_s() < 6 * 10 * image_s
    engine.go.set()
    assert all(future.result(10).shape == (1, 3) for future in [busy, *waiting])
    assert batcher.backlog_s() == 0
    batcher.close()


class PickyEngine(BrightnessEngine):
    def score(self, images: Images, /) -> Scores:
        if (images == 13).any():
            raise RuntimeError("unlucky")
        return super().score(images)


def test_a_bad_image_does_not_fail_its_batch() -> None:
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


def test_closing_scores_queued_images_then_refuses_new_ones() -> None:
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
def test_batcher_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        MicroBatcher(BrightnessEngine(), **wrong)


def test_several_threads_score_at_once_and_share_no_batch() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=2, scorers=2)
    futures = [batcher.submit(lambda: batch(0.5)) for _ in range(7)]
    assert engine.entered.wait(10)
    engine.go.set()
    assert [future.result(10).shape for future in futures] == [(1, 3)] * 7
    assert max(engine.sizes) == 2
    batcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(lambda: batch(0.5))


def test_an_image_that_cannot_be_prepared_does_not_fail_its_batch() -> None:
    def broken() -> Images:
        raise ValueError("no image")

    batcher = MicroBatcher(BrightnessEngine(), max_batch_size=3, max_wait_s=0.2)
    good, bad, last = [batcher.submit(make) for make in (lambda: batch(0.5), broken, lambda: batch(0.5))]
    assert good.result(10).shape == last.result(10).shape == (1, 3)
    with pytest.raises(ValueError, match="no image"):
        bad.result(10)
    batcher.close()


def test_only_queued_work_can_be_cancelled() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=1)
    begun = batcher.submit(lambda: batch(0.5))
    assert engine.entered.wait(10)
    waiting = [batcher.submit(lambda: batch(0.5)) for _ in range(3)]
    batcher.cancel()
    for future in waiting:
        with pytest.raises(CancelledError):
            future.result(10)
    engine.go.set()
    assert begun.result(10).shape == (1, 3)
    after = batcher.submit(lambda: batch(0.5))
    assert after.result(10).shape == (1, 3) and engine.sizes == [1, 1]
    batcher.close()


def test_queued_images_are_scored_before_closing() -> None:
    engine = SlowEngine()
    batcher = MicroBatcher(engine, max_batch_size=4, scorers=3)
    futures = [batcher.submit(lambda: batch(0.5)) for _ in range(9)]
    threading.Timer(0.05, engine.go.set).start()
    batcher.close()
    assert all(future.done() for future in futures) and sum(engine.sizes) == 9


def test_a_thread_that_waits_keeps_no_image() -> None:
    class Work:
        def prepare(self) -> Images:
            return np.zeros((1, 4, 4, 1), np.float32)

    batcher = MicroBatcher(BrightnessEngine(), max_batch_size=8, scorers=2)
    work = Work()
    batcher.submit(work.prepare).result(10)
    gone = weakref.ref(work)
    del work
    assert until(lambda: gone() is None)
    batcher.close()
