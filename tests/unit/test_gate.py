"""Variant selection: an inaccurate variant is never served, and the served one is clearly faster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.training.export.benchmark import BATCHES, THREADS, Speed
from model.training.export.selection import Candidate, choose, clearly_faster, faithfulness

SHIPPED = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist"


def speed(*rounds: float) -> Speed:
    middle = float(np.median(rounds))
    return Speed({(threads, batch): middle for threads in THREADS for batch in BATCHES}, 0.1, 50_000_000, rounds)


def candidate(variant: str, *rounds: float, agreement: float = 1.0, drop: float = 0.0) -> Candidate:
    return Candidate(variant, 1000, agreement, drop, speed(*rounds))


PLAIN = candidate("float32", 100, 101, 99)
HALF = candidate("float16", 102, 103, 101)
FAST = candidate("int8", 400, 390, 410)


def test_the_fastest_that_passes_is_served() -> None:
    assert choose([PLAIN, HALF, FAST]) is FAST


@pytest.mark.parametrize(("agreement", "drop"), [(0.9949, 0.0), (1.0, 0.0051), (float("nan"), 0.0)])
def test_an_inaccurate_variant_is_not_served_however_fast(agreement: float, drop: float) -> None:
    other = replace(FAST, agreement=agreement, drop=drop)
    assert not other.passes
    assert choose([PLAIN, HALF, other]) is PLAIN


def test_a_variant_at_the_limits_passes() -> None:
    assert replace(FAST, agreement=0.995, drop=0.005).passes


def test_the_simpler_of_equally_fast_variants_is_served() -> None:
    assert choose([PLAIN, HALF]) is PLAIN, "2 % faster in every round"
    assert (
        choose([candidate("float32", 100, 100, 40, 100), candidate("float16", 101, 40, 101, 110)]).variant == "float32"
    )
    assert choose([PLAIN, replace(FAST, variant="dynamic", speed=speed(395, 395, 395)), FAST]).variant == "dynamic"


def test_a_busy_machine_does_not_hide_a_large_difference() -> None:
    # Rounds are taken in turns: what slows one form down slows the other down too.
    assert clearly_faster(speed(400, 90, 410, 200, 380), speed(100, 30, 99, 52, 101))
    assert not clearly_faster(speed(100, 30, 99, 52, 101), speed(400, 90, 410, 200, 380))
    assert clearly_faster(speed(400, 400, 400, 20, 400), speed(100, 100, 100, 100, 100)), "one stray round"


def test_faithfulness_counts_equal_labels_and_lost_predictions() -> None:
    reference = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], np.float32)
    scores = np.array([[0.8, 0.2], [0.6, 0.4], [np.nan, np.nan], [0.1, 0.9]], np.float32)
    labels = np.array([0, 1, 0, 0])
    assert faithfulness(reference, reference, labels) == (1.0, 0.0)
    assert faithfulness(scores, reference, labels) == (0.5, 0.5)
