"""The output of a comparison with a verdict: lines, in which untrusted text is escaped, or one JSON object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from client.text import brief
from client.verdicts import statistics as stats
from client.verdicts.measures import Counts, LabelShare, Measures
from client.verdicts.samples import CANARY, SHADOW, Samples
from client.verdicts.statistics import Interval
from client.verdicts.verdict import BEYOND, OPEN, WITHIN, Figure, Judgement
from model.registry.verdicts import NOT_ENOUGH_DATA

_MAX_LINES = 10
"""Lines of changed labels and of shares; --json has all."""

_COLUMNS = 80

_ORDER = BEYOND, OPEN, WITHIN
"""The states of figures, those that decide first."""

_MAX_SHARES = 3
"""Shares of labels with a sentence of their own: those that decide come first."""

_WIDTH = 16
"""Characters of a label in a table."""

METHODS = (
    "intervals of 95 %: Wilson (shares), Newcombe (differences), order statistics",
    "(quantiles), Zou and Donner (ratios), Student or Welch (scores)",
)


def compared(samples: Samples) -> str:
    """Return what was compared, in one sentence."""
    first, second = map(len, samples.rows)
    if samples.source == CANARY:
        return f"a canary: {first:,} requests to stable and {second:,} others to the candidate"
    kind = "a shadow" if samples.source == SHADOW else "two results files"
    return f"{kind}: {second:,} requests to both models"


def reasons(judged: Judgement) -> list[str]:
    """Return one sentence for each figure with a threshold; shares of labels that are within it have one together."""
    ordered = sorted(judged.figures, key=lambda each: (_ORDER.index(each[1]), each[0].is_label_share))
    shares = [figure for figure, _ in ordered if figure.is_label_share]
    left_out = shares[_MAX_SHARES:]
    found = [f"{state}: {_reason(figure, state)}" for figure, state in ordered if figure not in left_out]
    if left_out:
        found.append(f"and the shares of other labels: {len(left_out):,}")
    if judged.missing:
        at_least = judged.thresholds.min_images
        found.append(f"{OPEN}: {judged.missing:,} requests fewer than the {at_least:,} of --min-images")
    return found


def needed(judged: Judgement) -> str:
    """Return how many more requests would decide; "" when enough are there."""
    if judged.verdict != NOT_ENOUGH_DATA:
        return ""
    if judged.more is None:
        return "a figure is so near to its limit that more requests will hardly decide"
    return f"roughly {judged.more:,} more requests to the candidate decide"


def to_dict(samples: Samples, found: Measures, judged: Judgement) -> dict[str, Any]:
    """Return the JSON object. Shares are 0 to 1, times milliseconds; an end of an interval that is open is null."""
    stable, candidate = samples.models
    return {
        "source": samples.source,
        "stable": asdict(stable) | {"requests": found.requests[0]},
        "candidate": asdict(candidate) | {"requests": found.requests[1]},
        "agreement": _agreement(found),
        "changes": [{"from": old, "to": new, "requests": count} for old, new, count in found.changes],
        "labels": [_label(each) for each in found.labels],
        "errors": _counts(found.errors) | {"unattributed": found.unattributed},
        "latency": [
            {
                "stage": each.stage,
                "quantile": each.quantile,
                "stable_ms": _interval(each.sides[0]),
                "candidate_ms": _interval(each.sides[1]),
                "ratio": _interval(each.ratio) if each.ratio else None,
            }
            for each in found.latency
        ],
        "accuracy": _counts(found.accuracy) | {"mcnemar_p": _mcnemar(found.accuracy)} if found.accuracy else None,
        "thresholds": asdict(judged.thresholds),
        "verdict": judged.verdict,
        "reasons": reasons(judged),
        "more_requests": judged.more,
        "notes": list(samples.notes),
        "interval_level": stats.LEVEL,
        "interval_methods": " ".join(METHODS),
    }


def to_lines(samples: Samples, found: Measures, judged: Judgement) -> Iterator[str]:
    """Yield the figures as lines for a terminal of 80 columns."""
    for name, model, requests in zip(("stable", "candidate"), samples.models, found.requests, strict=True):
        yield brief(f"{name}: {model}: {requests:,} requests")
    yield compared(samples)
    if found.agreement and found.agreement[1]:
        equal, of = found.agreement
        yield f"equal labels: {_percent(stats.proportion(equal, of))}: {equal:,} of {of:,}"
        for old, new, count in found.changes[:_MAX_LINES]:
            yield brief(f"  {count:>7,}  {old} -> {new}")
        yield from _more(found.changes, "changes")
    yield from _label_lines(found.labels)
    yield from _counts_lines("errors", found.errors)
    yield from _latency_lines(found)
    if found.accuracy:
        images = " and ".join(f"{int(of):,}" for of in dict.fromkeys(found.accuracy.of))
        yield from _counts_lines(f"accuracy on {images} labelled images", found.accuracy)
        if (p := _mcnemar(found.accuracy)) is not None:
            yield f"  McNemar's test: p = {p:.2g}"
    yield from METHODS
    yield f"verdict: {judged.verdict}"
    for reason in reasons(judged):
        yield from wrap(brief(reason), _COLUMNS, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    if more := needed(judged):
        yield f"  {more}"


def _label_lines(labels: Sequence[LabelShare]) -> Iterator[str]:
    if not labels:
        return
    moved = sorted(labels, key=lambda each: -abs(each.counts.difference().value))
    yield f"{'share of label':<{_WIDTH}} {'stable':>7} {'candidate':>9}  {'difference':<27} p"
    for each in moved[:_MAX_LINES]:
        first, second = each.counts.shares()
        difference = _percent(each.counts.difference(), "+")
        yield f"{_cell(each.label)} {first.value:>7.2%} {second.value:>9.2%}  {difference:<27} {each.p:.2g}"
    yield from _more(moved, "labels")
    scored = [each for each in moved[:_MAX_LINES] if each.score]
    if scored:
        yield f"{'score of label':<{_WIDTH}} candidate minus stable"
    for each in scored:
        if each.score:
            yield f"{_cell(each.label)} {each.score.value:+.4f} ({each.score.low:+.4f} to {each.score.high:+.4f})"


def _latency_lines(found: Measures) -> Iterator[str]:
    if found.latency:
        yield f"{'ms in worker':<12} {'stable':<22} {'candidate':<22} ratio"
    for each in found.latency:
        first, second = map(_number, each.sides)
        ratio = _ratio(each.ratio) if each.ratio else "-"
        yield f"{f'{each.quantile} {each.stage}':<12} {first:<22} {second:<22} {ratio}"


def _counts_lines(what: str, counts: Counts) -> Iterator[str]:
    first, second = counts.shares()
    yield f"{what}: stable {first.value:.2%}, candidate {second.value:.2%}"
    yield f"  candidate minus stable {_percent(counts.difference(), '+')}"


def _reason(figure: Figure, state: str) -> str:
    found = figure.at(1.0)
    sign = "+" if figure.low > -math.inf or figure.what == "errors" else ""
    shown = _percent(found, sign) if figure.is_share else _ratio(found)
    more = figure.more() if state == OPEN else None
    unit = "labelled images" if figure.what == "accuracy" else "requests"
    about = f", about {more:,} more {unit} decide" if more else ""
    return f"{figure.what} {shown}, {_limits(figure)} allowed ({figure.option}){about}"


def _limits(figure: Figure) -> str:
    low, high = (f"{end:.4g}" if not figure.is_share else f"{100 * end:.4g}%" for end in (figure.low, figure.high))
    if figure.high == math.inf:
        return f"{low} or more"
    return f"{high} or less" if figure.low == -math.inf else f"{low} to {high}"


def _percent(found: Interval, sign: str = "") -> str:
    return f"{found.value:{sign}.2%} ({found.low:{sign}.2%} to {found.high:{sign}.2%})"


def _number(found: Interval) -> str:
    value, low, high = (
        "?" if math.isinf(end) else f"{end:,.0f}" if end >= 100 else f"{end:.3g}"
        for end in (found.value, found.low, found.high)
    )
    return f"{value} ({low} to {high})"


def _ratio(found: Interval) -> str:
    value, low, high = (
        "?" if math.isinf(end) else f"{end:.2f}" if end < 10 else f"{end:,.0f}"
        for end in (found.value, found.low, found.high)
    )
    return f"{value} ({low} to {high})"


def _cell(label: str) -> str:
    text = brief(label)
    return f"{text if len(text) <= _WIDTH else text[: _WIDTH - 1] + '…':<{_WIDTH}}"


def _more(listed: Sequence[object], what: str) -> Iterator[str]:
    if (left := len(listed) - _MAX_LINES) > 0:
        yield f"  and {left:,} other {what}; --json lists all"


def _mcnemar(counts: Counts) -> float | None:
    return stats.mcnemar(int(counts.same[1]), int(counts.same[2])) if counts.same else None


def _agreement(found: Measures) -> dict[str, Any] | None:
    if not found.agreement or not found.agreement[1]:
        return None
    equal, of = found.agreement
    return {"equal": equal, "of": of, "share": _interval(stats.proportion(equal, of))}


def _label(each: LabelShare) -> dict[str, Any]:
    score = _interval(each.score) if each.score else None
    return {"label": each.label} | _counts(each.counts) | {"p": each.p, "score_shift": score}


def _counts(counts: Counts) -> dict[str, Any]:
    first, second = counts.shares()
    sides = {"stable": first, "candidate": second, "difference": counts.difference()}
    return {name: _interval(found) for name, found in sides.items()} | {
        "stable_of": int(counts.of[0]),
        "candidate_of": int(counts.of[1]),
    }


def _interval(found: Interval) -> dict[str, float | None]:
    return {name: end if math.isfinite(end) else None for name, end in asdict(found).items()}
