"""Simulation of a burst from zero instances: complete, reproducible, and fast for a billion images a day."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.plan.prices import Prices
from client.plan.simulation import MAX_STEPS, simulate
from client.plan.sizing import Size
from client.plan.workload import Workload

CLOUD = Prices.read().behaviour
LOAD = Workload(1e6, 100, 24, 750, "message", 10)
PUSH = Size("push", 1, 512, 26, 1, 0, 2, (55, 60), 500, 0.052, 2)


@settings(max_examples=60)
@given(
    images=st.floats(24, 1e7),
    times=st.floats(1, 50),
    per_s=st.floats(5, 1e4),
    start_s=st.floats(0, 20),
    seed=st.integers(0),
)
def test_every_simulated_image_is_answered(
    images: float, times: float, per_s: float, start_s: float, seed: int
) -> None:
    peak = max(1.0, times * images / 86_400)
    most = int(3 * peak / per_s) + 1
    size = replace(PUSH, per_s=per_s, start_s=start_s, needed=most, max_instances=most)
    run = simulate(Workload(images, peak, 24, 750, "message", 10), size, CLOUD, seed)
    assert run.arrived == run.answered >= 1
    assert run.moments[-1].waiting == 0
    assert all(0 <= moment.ready <= most for moment in run.moments)
    assert run.percentile(0.5) <= run.percentile(0.95)


def test_the_number_of_arrivals_matches_the_load() -> None:
    assert simulate(LOAD, PUSH, CLOUD, 0).arrived == pytest.approx(
        1e6 / 24, rel=0.03
    )  # five standard deviations are 2.5 %


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(LOAD, PUSH, CLOUD, 7) == simulate(LOAD, PUSH, CLOUD, 7)
    assert simulate(LOAD, PUSH, CLOUD, 7).moments != simulate(LOAD, PUSH, CLOUD, 8).moments


def test_only_the_first_images_wait_for_an_instance() -> None:
    run = simulate(LOAD, PUSH, CLOUD, 0)
    assert all(moment.ready == 0 for moment in run.moments if moment.at_s < PUSH.start_s)
    assert run.percentile(0.99, run.cold) == pytest.approx(run.base_s + PUSH.start_s, abs=0.3)
    assert run.percentile(0.99, run.warm) == pytest.approx(run.base_s)
    assert run.most_waiting == pytest.approx(LOAD.peak_per_s * PUSH.start_s, rel=0.2)


def test_warm_instances_answer_without_a_start() -> None:
    run = simulate(LOAD, replace(PUSH, min_instances=1), CLOUD, 0)
    assert run.percentile(0.99, run.cold) < 0.5


def test_a_pool_that_is_too_small_answers_late_and_all() -> None:
    pool = replace(PUSH, delivery="pull", needed=1, min_instances=1, max_instances=1, per_s=50)
    run = simulate(LOAD, pool, CLOUD, 0)
    # Half of what comes in a burst waits at its end, and takes as long again.
    assert run.most_waiting == pytest.approx(run.arrived / 2, rel=0.05)
    assert run.moments[-1].at_s == pytest.approx(2 * LOAD.burst_s, rel=0.05)
    assert run.percentile(1) == pytest.approx(LOAD.burst_s, rel=0.06)


def test_a_billion_in_a_day_without_a_pause_is_simulated_in_seconds() -> None:
    load = Workload(1e9, 1e9 / 86_400, 1, 750, "message", 10)
    size = replace(PUSH, needed=39, max_instances=60)
    before = time.process_time()
    run = simulate(load, size, CLOUD, 0)
    assert time.process_time() - before < 10  # about half a second; the rest is for a slow machine
    assert run.arrived == run.answered == pytest.approx(1e9, rel=0.001)
    assert len(run.moments) <= MAX_STEPS + 100
