"""The verdict on a candidate: each figure's interval against the threshold that the user allows.

A figure is `within` its limits when its whole interval is, `beyond` when no part of it is, and `open` otherwise: more
requests would decide. So a candidate that is worse than allowed passes in some 2.5 % of comparisons and in at most 5 %,
because each end of an interval of 95 % is wrong so often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from client.gcp import UsageError
from client.verdicts import statistics as stats
from client.verdicts.measures import QUANTILES, Counts, Latency, Measures
from client.verdicts.samples import CANARY, SHADOW
from client.verdicts.statistics import Interval
from model.registry.verdicts import BETTER, NO_WORSE, NOT_ENOUGH_DATA, WORSE

WITHIN, BEYOND, OPEN = "within", "beyond", "open"

TIMED = "predict", "p95"
"""The stage and the quantile whose ratio is limited: the part of a request's time that depends on the model."""

_MOST_SCALE = 1e4
"""The largest multiple of the requests for which an interval is asked. What is open then will stay open."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits of a candidate. Shares are 0 to 1. None: by default; see `applied`.

    `margin`: accuracy that it may lose. `max_disagreement`: the share of requests with another label, and for a canary
    the change of a label's share. `max_error_increase`: more requests without predictions. `max_latency_ratio`: p95 of
    predict_ms, by that of stable.
    """

    min_images: int = 200
    margin: float = 0.01
    max_disagreement: float | None = None
    max_error_increase: float = 0.02
    max_latency_ratio: float | None = None

    def applied(self, source: str, *, has_accuracy: bool) -> Thresholds:
        """The thresholds with their defaults.

        With true labels, another label may be the right one, so disagreement has no limit by default. A shadow scores
        in a thread of low priority, one image at a time, so its latency has none.
        """
        disagreement, latency = self.max_disagreement, self.max_latency_ratio
        if disagreement is None and not has_accuracy:
            disagreement = 0.05
        if latency is None and source != SHADOW:
            latency = 1.5
        return Thresholds(self.min_images, self.margin, disagreement, self.max_error_increase, latency)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with a threshold. `at`: its interval for so many times the requests. `requests`: how many it has now.

    `is_share`: whether it is shown in percent. `low`, `high`: its limits. `option`: the option that sets them.
    """

    what: str
    option: str
    at: Callable[[float], Interval]
    requests: int
    low: float = -math.inf
    high: float = math.inf
    is_share: bool = True
    is_label_share: bool = False

    def state(self, scale: float = 1.0) -> str:
        """WITHIN, BEYOND or OPEN, for `scale` times as many requests."""
        found = self.at(scale)
        if self.low <= found.low and found.high <= self.high:
            return WITHIN
        return BEYOND if found.high < self.low or found.low > self.high else OPEN

    def more(self) -> int | None:
        """Roughly how many more requests decide, if the figure stays what it is; None for too many."""
        low, high = 1.0, 2.0
        while self.state(high) == OPEN:
            low, high = high, 2 * high
            if high > _MOST_SCALE:
                return None
        for _ in range(10):
            middle = (low + high) / 2
            low, high = (middle, high) if self.state(middle) == OPEN else (low, middle)
        return math.ceil(self.requests * (high - 1))


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the state of each figure, and how many more requests to the candidate would decide: 0 when nothing is
    open, None when no number would. `missing`: requests that ``min_images` lacks."""

    verdict: str
    thresholds: Thresholds
    figures: tuple[tuple[Figure, str], ...]
    more: int | None
    missing: int


def judge(source: str, found: Measures, thresholds: Thresholds) -> Judgement:
    """Return the verdict on the second model. Raises UsageError for a limit of a figure that was not measured.

    It is `better` only by true labels: without them, nothing says which of two labels is right.
    """
    if thresholds.max_latency_ratio is not None and not _timed(found):
        raise UsageError("--max-latency-ratio cannot be applied: the responses have no times of predict")
    applied = thresholds.applied(source, has_accuracy=found.accuracy is not None)
    figures = tuple((figure, figure.state()) for figure in _figures(source, found, applied))
    states = [state for _, state in figures]
    missing = max(0, applied.min_images - found.compared)
    more: int | None = missing
    for figure, state in figures:
        if state == OPEN and more is not None:
            needed = figure.more()
            more = None if needed is None else max(more, needed)
    if BEYOND in states:
        verdict, more = WORSE, 0
    elif missing or OPEN in states:
        verdict = NOT_ENOUGH_DATA
    else:
        is_better = found.accuracy is not None and found.accuracy.difference().low > 0
        verdict = BETTER if is_better else NO_WORSE
    return Judgement(verdict, applied, figures, more, missing)


def _figures(source: str, found: Measures, limits: Thresholds) -> Iterator[Figure]:
    if found.accuracy:
        images = int(found.accuracy.of[1])
        yield Figure("accuracy", "--margin", found.accuracy.difference, images, low=-limits.margin)
    if limits.max_disagreement is not None:
        yield from _disagreement(source, found, limits.max_disagreement)
    yield Figure("errors", "--max-error-increase", _errors(found), found.requests[1], high=limits.max_error_increase)
    if limits.max_latency_ratio is not None and (timed := _timed(found)):
        yield Figure(
            "p95 predict_ms, ratio",
            "--max-latency-ratio",
            _ratio(timed),
            timed.requests,
            high=limits.max_latency_ratio,
            is_share=False,
        )


def _timed(found: Measures) -> Latency | None:
    return next((each for each in found.latency if (each.stage, each.quantile) == TIMED and each.ratio), None)


def _disagreement(source: str, found: Measures, most: float) -> Iterator[Figure]:
    """With the same requests the share of other labels, and otherwise how much the share of each label changed."""
    option = "--max-disagreement"
    if found.agreement:
        equal, of = found.agreement
        yield Figure(
            "other labels",
            option,
            lambda scale: stats.proportion((of - equal) * scale, of * scale) if of else Interval(0, 0, 1),
            of,
            high=most,
        )
    elif source == CANARY:
        z = stats.z_of(max(1, len(found.labels)))
        for label in found.labels:
            yield Figure(
                f"share of {label.label}",
                option,
                lambda scale, counts=label.counts: counts.difference(scale, z),  # type: ignore[misc]
                int(label.counts.of[1]),
                -most,
                most,
                is_label_share=True,
            )


def _errors(found: Measures) -> Callable[[float], Interval]:
    """The difference of error shares. Errors that name no model count against the candidate at the upper end only."""
    errors, extra = found.errors, found.unattributed
    if not extra:
        return errors.difference
    most = Counts((errors.having[0], errors.having[1] + extra), (errors.of[0], errors.of[1] + extra))

    def at(scale: float) -> Interval:
        least = errors.difference(scale)
        return Interval(least.value, least.low, most.difference(scale).high)

    return at


def _ratio(timed: Latency) -> Callable[[float], Interval]:
    """The ratio of two quantiles. For more requests its ends come nearer, by the square root and on a log scale."""
    ratio = timed.ratio
    assert ratio is not None
    closed = math.log((1 - stats.LEVEL) / 2) / math.log(QUANTILES[timed.quantile])
    below = math.log(ratio.value / ratio.low) if ratio.low > 0 else math.inf
    above = math.log(ratio.high / ratio.value) if ratio.high < math.inf else math.inf

    def at(scale: float) -> Interval:
        has_ends = timed.requests * scale > closed
        known = [each for each in (below, above) if each < math.inf]
        ends = [
            each if each < math.inf or not known or scale == 1 or not has_ends else max(known)
            for each in (below, above)
        ]
        down, up = (each / math.sqrt(scale) for each in ends)
        return Interval(ratio.value, ratio.value * math.exp(-down), ratio.value * math.exp(up))

    return at
