"""Figures of a set of rows: counts, labels, scores by date, times. Plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from client.gcp import UsageError
from client.period import period
from client.results.record import Record
from client.text import printable

STAGES = {
    "queue": "queue_ms",
    "fetch": "fetch_ms",
    "decode": "decode_ms",
    "predict": "predict_ms",
    "total": "total_ms",
    "client": "client_ms",
}
"""The stages of a request, in order, and the columns of their times. `client` includes all others."""

_TIME = "%Y-%m-%d %H:%M:%S"

PERCENTILES = (50, 90, 95, 99, 100)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of rows. Times are milliseconds, `process_s` seconds; dates are those of UTC.

    `by_date`: date and label to the number of images and their mean score. An image counts for each label that it has.
    `process_s` lasts from the receipt of the
    first request to the last response.
    """

    records: Sequence[Record]
    statuses: dict[str, int]
    labels: dict[str, int]
    by_date: dict[str, dict[str, tuple[int, float]]]
    percentiles: dict[str, list[float]]
    errors: dict[str, int]
    models: dict[str, int]
    first: datetime | None
    last: datetime | None
    process_s: float | None

    @property
    def answered(self) -> list[Record]:
        """The rows with predictions."""
        return [record for record in self.records if record.answered]

    @property
    def multi_label(self) -> bool:
        """Whether there are predictions of a multi-label model."""
        return any(record.labels is not None for record in self.records)

    @property
    def prediction_ms(self) -> float | None:
        """Processing time for each prediction, in milliseconds."""
        return 1000 * self.process_s / self.statuses["ok"] if self.process_s and self.statuses.get("ok") else None


def summarize(records: Sequence[Record]) -> Summary:
    """Return the figures of these rows, each of another request."""
    answered = [record for record in records if record.answered]
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in answered:
        moment = completed(record)
        date = moment.date().isoformat() if moment else "unknown"
        for label, score in record.assigned:
            scores[date][label].append(score or 0.0)
    moments = [moment for record in records if (moment := completed(record))]
    begun = [
        moment - timedelta(milliseconds=max(0.0, record.total_ms or 0.0))
        for record in records
        if (moment := completed(record))
    ]
    return Summary(
        records,
        dict(Counter(record.status for record in records).most_common()),
        dict(Counter(label for record in answered for label, _ in record.assigned).most_common()),
        {
            date: {label: (len(each), sum(each) / len(each)) for label, each in sorted(of_label.items())}
            for date, of_label in sorted(scores.items())
        },
        {
            stage: percentiles(values)
            for stage, column in STAGES.items()
            if (values := [value for record in answered if (value := getattr(record, column)) is not None])
        },
        dict(Counter(record.error_code or record.problem for record in records if _failed(record)).most_common()),
        dict(Counter(_model(record) for record in answered).most_common()),
        min(moments, default=None),
        max(moments, default=None),
        (max(moments) - min(begun)).total_seconds() if moments else None,
    )


def percentiles(values: Iterable[float]) -> list[float]:
    """Return PERCENTILES of the values: the smallest value that is at least as large as that share of them."""
    ordered = sorted(values)
    return [ordered[max(0, -(-len(ordered) * p // 100) - 1)] for p in PERCENTILES]


def completed(record: Record) -> datetime | None:
    """Return the time of a response; None where there is none or it is no time."""
    try:
        moment = datetime.fromisoformat(record.completed_at)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def parse_time(text: str, now: datetime, option: str) -> datetime:
    """Read a time: RFC 3339, a date (UTC), or a period before now such as 30m, 24h or 7d. Raises UsageError."""
    if (before := period(text)) is not None:
        return now - min(before, now - datetime.min.replace(tzinfo=UTC))
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the first days of the calendar have no time in UTC
        raise UsageError(
            f"{option} is {printable(text)[:80]}; it must be a period such as 24h or 7d, a date, or a time of RFC 3339"
        ) from None


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The times from `first` on and before `last`; None has no limit."""

    first: datetime | None = None
    last: datetime | None = None

    @classmethod
    def parse(cls, since: str | None, until: str | None, now: datetime, prefix: str = "--") -> TimeRange:
        """Read the values of two options, --since and --until with another prefix. Raises UsageError."""
        first = parse_time(since, now, f"{prefix}since") if since else None
        last = parse_time(until, now, f"{prefix}until") if until else None
        if first and last and first >= last:
            raise UsageError(
                f"{prefix}since must be before {prefix}until; they are {first:{_TIME}} and {last:{_TIME}} (UTC)"
            )
        return cls(first, last)

    def __str__(self) -> str:
        words = (("since", self.first), ("before", self.last))
        return " and ".join(f"{word} {moment:{_TIME}} UTC" for word, moment in words if moment)

    def select(self, records: Sequence[Record]) -> tuple[list[Record], int]:
        """Return the rows of responses in this range, and the number of rows without a time."""
        timed = [(record, at) for record in records if (at := completed(record))]
        kept = [
            record
            for record, at in timed
            if (self.first is None or at >= self.first) and (self.last is None or at < self.last)
        ]
        return kept, len(records) - len(timed)


def slowest(summary: Summary, count: int) -> list[Record]:
    """Return the answered rows with the longest total time of the worker."""
    timed = [record for record in summary.answered if record.total_ms is not None]
    return sorted(timed, key=lambda record: (-(record.total_ms or 0.0), record.file))[:count]


def least_certain(summary: Summary, count: int) -> list[Record]:
    """Return the answered rows with the lowest scores, of models whose labels exclude each other."""
    rows = [record for record in summary.answered if record.labels is None]
    return sorted(rows, key=lambda record: (record.score or 0.0, record.file))[:count]


def _failed(record: Record) -> bool:
    return record.status in ("error", "missing", "failed")


def _model(record: Record) -> str:
    return f"{record.model_name} {record.model_version} ({record.engine}, {record.model_digest[:19]})"
