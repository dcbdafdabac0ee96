"""How often a verdict is wrong, in simulations: a candidate at the edge of what is allowed, and equal ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from numpy.random import Generator, default_rng

from client.gcp import UsageError
from client.verdicts import statistics as stats
from client.verdicts.measures import Counts, LabelShare, Latency, Measures
from client.verdicts.samples import CANARY, FILES, SHADOW
from client.verdicts.verdict import Thresholds, judge
from model.registry.verdicts import BETTER, NO_WORSE, NOT_ENOUGH_DATA, WORSE

RUNS = 1_000
THRESHOLDS = Thresholds()


def paired(chance: Generator, of: int, first: float, second: float, both: float = 0.0) -> Counts:
    """Counts of `of` requests: what only the first, only the second, or both models have with these chances."""
    return Counts.paired(*chance.multinomial(of, (both, first, second, 1 - both - first - second)).tolist())


def measures(of: int, **changed: object) -> Measures:
    """Figures of two models that do not differ."""
    equal = Measures((of, of), (of, of), (), (), Counts.paired(0, 0, 0, of), 0, (), None)
    return replace(equal, **changed)  # type: ignore[arg-type]


def accuracy(chance: Generator, lost: float, of: int = 1_000) -> Measures:
    return measures(of, accuracy=paired(chance, of, 0.03 + lost / 2, 0.03 - lost / 2, 0.9))


def disagreement(chance: Generator, share: float, of: int = 400) -> Measures:
    return measures(of, agreement=(of - int(chance.binomial(of, share)), of))


def failures(chance: Generator, more: float, of: int = 400) -> Measures:
    return measures(of, errors=paired(chance, of, 0.0, more, 0.01))


def canary(chance: Generator, moved: float, of: int = 2_000) -> Measures:
    """Ten labels, one of which is predicted more often by `moved`, and the others less often; a canary of 20 %."""
    sides = 4 * of, of
    shares = [0.1] * 10, [0.1 + moved] + [0.1 - moved / 9] * 9
    drawn = [chance.multinomial(n, weights).tolist() for weights, n in zip(shares, sides, strict=True)]
    labels = [
        LabelShare(str(label), Counts((drawn[0][label], drawn[1][label]), sides), 1.0, None) for label in range(10)
    ]
    return measures(of, requests=sides, agreement=None, labels=labels, errors=Counts((0, 0), sides))


def latency(chance: Generator, ratio: float, of: int = 500) -> Measures:
    sides = [chance.lognormal(math.log(middle), 0.3, of).tolist() for middle in (2.0, 2.0 * ratio)]
    first, second = (stats.quantile(side, 0.95) for side in sides)
    timed = Latency("predict", "p95", (first, second), stats.ratio(first, second), of)
    return measures(of, latency=(timed,))


Draw = Callable[[Generator, float], Measures]


def verdicts(draw: Draw, truth: float, source: str) -> dict[str, float]:
    """The share of each verdict."""
    chance = default_rng(20_261_129)
    found = [judge(source, draw(chance, truth), THRESHOLDS).verdict for _ in range(RUNS)]
    return {verdict: found.count(verdict) / RUNS for verdict in (BETTER, NO_WORSE, WORSE, NOT_ENOUGH_DATA)}


FIGURES: dict[str, tuple[Draw, float, float, str]] = {
    # what is drawn, the limit, a value that is far beyond it, and the source
    "accuracy": (accuracy, 0.01, 0.05, FILES),
    "disagreement": (disagreement, 0.05, 0.15, SHADOW),
    "errors": (failures, 0.02, 0.1, FILES),
    "canary": (canary, 0.05, 0.15, CANARY),
    "latency": (latency, 1.5, 2.2, FILES),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_a_candidate_that_is_worse_than_allowed_may_be_promoted_in_at_most_5_percent(figure: str) -> None:
    draw, limit, _, source = FIGURES[figure]
    found = verdicts(draw, limit * 1.0001, source)
    assert found[BETTER] + found[NO_WORSE] <= 0.05


@pytest.mark.parametrize("figure", FIGURES)
def test_a_candidate_that_is_just_allowed_is_called_worse_in_at_most_5_percent(figure: str) -> None:
    draw, limit, _, source = FIGURES[figure]
    assert verdicts(draw, limit, source)[WORSE] <= 0.05


@pytest.mark.parametrize("figure", FIGURES)
def test_a_candidate_that_is_far_worse_is_found(figure: str) -> None:
    draw, _, beyond, source = FIGURES[figure]
    found = verdicts(draw, beyond, source)
    assert found[WORSE] >= 0.8 and found[BETTER] + found[NO_WORSE] == 0


@pytest.mark.parametrize(
    ("figure", "equal"), [("disagreement", 0.01), ("errors", 0.0), ("canary", 0.0), ("latency", 1.0)]
)
def test_an_equal_candidate_may_be_promoted(figure: str, equal: float) -> None:
    draw, _, _, source = FIGURES[figure]
    found = verdicts(draw, equal, source)
    assert found[NO_WORSE] >= 0.8 and found[WORSE] <= 0.01 and found[BETTER] == 0


def test_an_equal_candidate_is_called_better_in_at_most_5_percent() -> None:
    found = verdicts(accuracy, 0.0, FILES)
    assert found[BETTER] <= 0.05 and found[WORSE] <= 0.01


def test_a_better_candidate_is_called_better_with_enough_labels() -> None:
    found = verdicts(lambda chance, lost: accuracy(chance, lost, 3_000), -0.02, FILES)
    assert found[BETTER] >= 0.8 and found[WORSE] == 0


TIMES: dict[str, Callable[[int], Measures]] = {
    # figures of so many times 100 requests, with the same shares
    "accuracy": lambda times: measures(
        100 * times, accuracy=Counts.paired(90 * times, 2 * times, 2 * times, 6 * times)
    ),
    "disagreement": lambda times: measures(100 * times, agreement=(98 * times, 100 * times)),
    "errors": lambda times: measures(100 * times, errors=Counts.paired(0, 0, 0, 100 * times)),
}


@pytest.mark.parametrize("figure", TIMES)
def test_the_requests_that_a_verdict_asks_for_decide_if_the_figures_stay(figure: str) -> None:
    limits = Thresholds(min_images=100, max_disagreement=0.04, max_error_increase=0.01)

    def verdict(requests: float) -> str:
        return judge(FILES, TIMES[figure](math.ceil(requests / 100)), limits).verdict

    first = judge(FILES, TIMES[figure](1), limits)
    assert first.verdict == NOT_ENOUGH_DATA and first.more
    assert verdict(100 + first.more) == NO_WORSE
    assert first.more < 300 or verdict(100 + first.more / 2) == NOT_ENOUGH_DATA


def test_a_figure_at_its_limit_is_not_decided_by_more_requests() -> None:
    found = judge(SHADOW, measures(1_000, agreement=(950, 1_000)), THRESHOLDS)
    assert (found.verdict, found.more) == (NOT_ENOUGH_DATA, None)


def test_too_few_requests_are_not_enough_but_may_be_proof_of_a_worse_model() -> None:
    few = judge(FILES, measures(150), Thresholds(min_images=200))
    assert (few.verdict, few.missing) == (NOT_ENOUGH_DATA, 50) and few.more and few.more >= 50
    assert judge(FILES, measures(150, agreement=(100, 150)), Thresholds(min_images=200)).verdict == WORSE


def test_requests_that_name_no_model_count_against_the_candidate_but_prove_nothing() -> None:
    lost = measures(400, requests=(400, 400), unattributed=40, errors=Counts((0, 0), (400, 400)), agreement=None)
    assert judge(CANARY, lost, THRESHOLDS).verdict == NOT_ENOUGH_DATA
    assert judge(CANARY, replace(lost, unattributed=0), THRESHOLDS).verdict == NO_WORSE


def test_a_limit_of_a_time_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="--max-latency-ratio cannot be applied"):
        judge(FILES, measures(400), Thresholds(max_latency_ratio=2.0))
