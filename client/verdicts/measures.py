"""The figures of two models with intervals: equal labels, shares and scores of labels, errors, latency, accuracy.

Each figure is measured on the same requests where both models have them, and on the requests of each model otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from client.gcp import UsageError
from client.report.by_image import refuse_multi_label
from client.report.comparison import Comparison, Pair, correctness
from client.report.truth import Truth
from client.results.record import Record
from client.text import printable
from client.verdicts import statistics as stats
from client.verdicts.samples import SHADOW, Samples
from client.verdicts.statistics import Interval
from model.drift import holm, proportions_differ

STAGES = ("queue", "fetch", "decode", "predict", "total")
"""The stages of a request in the worker."""

OWN_STAGES = ("fetch", "decode", "predict")
"""Those that a shadow has of its own: it scores a copy later, when the request is answered."""

QUANTILES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many requests have a property, of which the shares are compared.

    `same`: the numbers of requests that have it by both models, only by the first, only by the second, by neither; None
    where each model has its own requests. `having` and `of`: the numbers for each model.
    """

    having: tuple[float, float]
    of: tuple[float, float]
    same: tuple[float, float, float, float] | None = None

    @classmethod
    def paired(cls, both: int, first: int, second: int, neither: int) -> Counts:
        """The counts of the same requests."""
        of = both + first + second + neither
        return cls((both + first, both + second), (of, of), (both, first, second, neither))

    def shares(self, z: float = stats.Z) -> tuple[Interval, Interval]:
        """The share of each model, with Wilson's interval."""
        return stats.proportion(self.having[0], self.of[0], z), stats.proportion(self.having[1], self.of[1], z)

    def difference(self, scale: float = 1.0, z: float = stats.Z) -> Interval:
        """Second share minus first, with Newcombe's interval, for `scale` times as many requests with these shares."""
        if self.same:
            counts = [count * scale for count in self.same]
            return stats.paired_difference(counts[0], counts[1], counts[2], counts[3], z)
        first, second = (
            stats.proportion(count * scale, of * scale, z) for count, of in zip(self.having, self.of, strict=True)
        )
        return stats.difference(first, second)


@dataclass(frozen=True, slots=True)
class LabelShare:
    """The share of one label. `p`: of McNemar's test or the test of two proportions, corrected for the number of labels
    (Holm). `score`: second mean score minus first, of the requests with this label; None of fewer than five."""

    label: str
    counts: Counts
    p: float
    score: Interval | None


@dataclass(frozen=True, slots=True)
class Latency:
    """A quantile of the times of a stage, in milliseconds. `ratio`: second by first, None where one is 0."""

    stage: str
    quantile: str
    sides: tuple[Interval, Interval]
    ratio: Interval | None
    requests: int


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures of two models, the stable one first.

    `agreement`: requests with equal labels, and those with labels by both; None without the same requests.
    `errors`: requests without predictions. `unattributed`: more of them, which may be the second model's.
    `accuracy`: None without true labels.
    """

    requests: tuple[int, int]
    agreement: tuple[int, int] | None
    changes: Sequence[tuple[str, str, int]]
    labels: Sequence[LabelShare]
    errors: Counts
    unattributed: int
    latency: Sequence[Latency]
    accuracy: Counts | None

    @property
    def compared(self) -> int:
        """The requests with predictions by both models, or by the model that has fewer."""
        if self.agreement:
            return self.agreement[1]
        return int(min(of - having for of, having in zip(self.errors.of, self.errors.having, strict=True)))


def measure(samples: Samples, truth: Truth | None) -> Measures:
    """Return the figures. Raises UsageError where true labels cannot be used."""
    paired = Comparison(list(samples.pairs), (0, 0), (set(), set())) if samples.pairs is not None else None
    return Measures(
        (len(samples.rows[0]), len(samples.rows[1])),
        (len(paired.equal), len(paired.equal) + len(paired.changed)) if paired else None,
        paired.transitions if paired else (),
        _labels(samples),
        _counts(samples, lambda row: not row.answered),
        samples.unattributed,
        list(_latency(samples)),
        _accuracy(samples, paired, truth) if truth else None,
    )


def _counts(samples: Samples, has: Callable[[Record], bool]) -> Counts:
    if samples.pairs is not None:
        found = Counter((has(old), has(new)) for old, new in samples.pairs)
        return Counts.paired(found[True, True], found[True, False], found[False, True], found[False, False])
    first, second = samples.rows
    return Counts((sum(map(has, first)), sum(map(has, second))), (len(first), len(second)))


def _labels(samples: Samples) -> list[LabelShare]:
    """The share of each label among the requests with predictions, the most frequent label of the first model first."""
    tables = _same_requests(samples.pairs) if samples.pairs is not None else _own_requests(samples.rows)
    raw = [_p_value(counts) for counts, _ in tables.values()]
    found = [
        LabelShare(label, counts, p, score)
        for (label, (counts, score)), p in zip(tables.items(), holm(raw), strict=True)
    ]
    return sorted(found, key=lambda each: (-each.counts.having[0], -each.counts.having[1], each.label))


_Tables = dict[str, tuple[Counts, Interval | None]]
"""By label: its counts, and how its scores differ."""


def _same_requests(pairs: Sequence[Pair]) -> _Tables:
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    moves: defaultdict[str, list[float]] = defaultdict(list)
    images = 0
    for old, new in pairs:
        if not (old.answered and new.answered):
            continue
        images += 1
        first, second = dict(old.assigned), dict(new.assigned)
        for label in first.keys() | second.keys():
            found[label]["both" if label in first and label in second else "first" if label in first else "second"] += 1
            before, now = first.get(label), second.get(label)
            if before is not None and now is not None:
                moves[label].append(now - before)
    return {
        label: (
            Counts.paired(each["both"], each["first"], each["second"], images - each.total()),
            stats.mean(moves[label]),
        )
        for label, each in found.items()
    }


def _own_requests(rows: tuple[Sequence[Record], Sequence[Record]]) -> _Tables:
    found: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    scores: tuple[defaultdict[str, list[float]], ...] = defaultdict(list), defaultdict(list)
    answered = [sum(row.answered for row in side) for side in rows]
    for side, counter, values in zip(rows, found, scores, strict=True):
        for row in side:
            for label, score in row.assigned if row.answered else ():
                counter[label] += 1
                if score is not None:
                    values[label].append(score)
    if not all(answered):
        return {}
    return {
        label: (
            Counts((found[0][label], found[1][label]), (answered[0], answered[1])),
            stats.mean_difference(scores[0][label], scores[1][label]),
        )
        for label in found[0].keys() | found[1].keys()
    }


def _p_value(counts: Counts) -> float:
    if counts.same:
        return stats.mcnemar(int(counts.same[1]), int(counts.same[2]))
    having, of = [*map(int, counts.having)], [*map(int, counts.of)]
    return proportions_differ(having[0], of[0], having[1], of[1])


def _latency(samples: Samples) -> Iterator[Latency]:
    rows = samples.rows
    for stage in OWN_STAGES if samples.source == SHADOW else STAGES:
        column = f"{stage}_ms"
        times = [
            [value for row in side if row.answered and (value := getattr(row, column)) is not None] for side in rows
        ]
        if not all(times) or not any(map(any, times)):
            continue
        for name, share in QUANTILES.items():
            first, second = (stats.quantile(side, share) for side in times)
            yield Latency(stage, name, (first, second), stats.ratio(first, second), len(times[1]))


def _accuracy(samples: Samples, paired: Comparison | None, truth: Truth) -> Counts:
    """The labelled images that each model has right. Raises UsageError."""
    if paired:
        if samples.source == SHADOW:  # an image of several requests counts once
            first = {truth.file_of(old) or old.request_id: (old, new) for old, new in reversed(paired.pairs)}
            paired = replace(paired, pairs=list(first.values()))
        right = correctness(paired, truth)
        return Counts.paired(right.both, *right.only, right.neither)
    sides = [_right(side, truth) for side in samples.rows]
    return Counts((sides[0][0], sides[1][0]), (sides[0][1], sides[1][1]))


def never_predicted(samples: Samples, truth: Truth) -> list[str]:
    """Return the true labels of the requests that neither model predicts, sorted."""
    rows = [row for side in samples.rows for row in side if row.answered]
    true = {truth.labels[file] for row in rows if (file := truth.file_of(row))}
    return sorted(true - {row.label for row in rows})


def _right(rows: Sequence[Record], truth: Truth) -> tuple[int, int]:
    """The number of labelled images that are right, and of those with predictions; an image of several requests counts
    once. Raises UsageError."""
    answered = [row for row in rows if row.answered]
    refuse_multi_label(answered)
    found: dict[str, bool] = {}
    for row in answered:
        if file := truth.file_of(row):
            found.setdefault(file, row.label == truth.labels[file])
    if not found:
        raise UsageError(
            f"no labelled file has predictions of one of the two models; a labelled file is "
            f"{printable(next(iter(truth.labels)))}"[:300]
        )
    return sum(found.values()), len(found)
