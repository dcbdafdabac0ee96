"""Reads a backlog and the minutes of a worker pool from Cloud Monitoring ("Method: timeSeries.list", Google Cloud)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from functions.scaling.google_api import ApiError, GoogleApi
from functions.scaling.history import MINUTE_S, Minute
from model.text import quoted

ENDPOINT = "https://monitoring.googleapis.com"

DAY = 1440
"""Minutes that are read: a pool that is busy once a day has a measured rate."""

STALE = 10
"""Minutes after which a backlog is too old to decide on. Samples are visible after up to four minutes."""

_MAX_PAGES = 20
"""Pages of one series: one is enough for a day's minutes, and an endless reply ends."""


@dataclass(frozen=True, slots=True)
class Series:
    """A metric of one resource, summed over its labels: a value for each minute."""

    metric: str
    resource: str
    labels: dict[str, str]
    aligner: str

    @property
    def filter(self) -> str:
        labels = "".join(f' AND resource.labels.{name}="{value}"' for name, value in self.labels.items())
        return f'metric.type="{self.metric}" AND resource.type="{self.resource}"{labels}'


@dataclass(frozen=True, slots=True)
class Sample:
    """A backlog in messages, and how many minutes ago it was measured."""

    messages: int
    minutes_ago: int


def read_backlog(api: GoogleApi, subscription: str, now: datetime, endpoint: str = "") -> Sample | None:
    """Return the latest sample of a subscription's backlog, None without one in the last STALE minutes.

    `endpoint`: of another server than Cloud Monitoring. Raises ApiError.
    """
    _, project, _, queue = subscription.split("/")
    found = _values(api, project, _backlog_of(queue), _minute_of(now), STALE, endpoint)
    return Sample(round(found[max(found)]), STALE - max(found)) if found else None


def read_minutes(api: GoogleApi, subscription: str, pool: str, now: datetime) -> list[Minute]:
    """Return the minutes of the last day up to the latest sample of the backlog.

    `subscription` and `pool` are full names. Raises ApiError, also when the latest backlog is older than STALE minutes.
    """
    (_, project, _, queue), (_, pool_project, _, region, _, name) = subscription.split("/"), pool.split("/")
    ran = "cloud_run_worker_pool", {"worker_pool_name": name, "location": region}
    end = _minute_of(now)
    backlogs = _values(api, project, _backlog_of(queue), end)
    if not backlogs or (age := DAY - max(backlogs)) > STALE:
        known = f"the latest one is {age} minutes old" if backlogs else "there is none in the last day"
        raise ApiError(f"backlog of {queue} is not known: {known}; it must be at most {STALE} minutes old")
    acked = _values(api, project, _series_of(queue, "ack_message_count", "ALIGN_DELTA"), end)
    ran_s = _values(
        api, pool_project, Series("run.googleapis.com/container/billable_instance_time", *ran, "ALIGN_DELTA"), end
    )
    return [Minute(backlogs.get(at), acked.get(at, 0.0), ran_s.get(at)) for at in range(1, max(backlogs) + 1)]


def _backlog_of(subscription: str) -> Series:
    return _series_of(subscription, "num_undelivered_messages", "ALIGN_MAX")


def _series_of(subscription: str, metric: str, aligner: str) -> Series:
    labels = {"subscription_id": subscription}
    return Series(f"pubsub.googleapis.com/subscription/{metric}", "pubsub_subscription", labels, aligner)


def _values(
    api: GoogleApi, project: str, series: Series, end: datetime, minutes: int = DAY, endpoint: str = ""
) -> dict[int, float]:
    """Return the values of so many minutes until `end`, by minute from 1. Raises ApiError."""
    begin = end - timedelta(minutes=minutes)
    query = {
        "filter": series.filter,
        "interval.startTime": _time(begin),
        "interval.endTime": _time(end),
        "aggregation.alignmentPeriod": f"{MINUTE_S}s",
        "aggregation.perSeriesAligner": series.aligner,
        "aggregation.crossSeriesReducer": "REDUCE_SUM",
    }
    try:
        points = list(_points(api, f"{endpoint or ENDPOINT}/v3/projects/{project}/timeSeries", query))
        found = {_minute(point, begin): _value(point) for point in points}
    except ApiError as exc:
        raise ApiError(f"{series.metric} cannot be read: {exc}", exc.status) from exc
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise ApiError(f"{series.metric} cannot be read: the reply does not have the documented form") from exc
    return {at: value for at, value in found.items() if 1 <= at <= minutes}


def _points(api: GoogleApi, url: str, query: dict[str, str]) -> Iterator[Any]:
    """Yield the points of the only series, page by page."""
    for _ in range(_MAX_PAGES):
        reply = api.call("GET", url, params=query)
        if reply.get("executionErrors"):
            raise ApiError("the reply is incomplete")
        if len(series := reply.get("timeSeries", [])) > 1:
            raise ApiError(f"{len(series)} series came instead of one")
        for each in series:
            yield from each["points"]
        if not (token := reply.get("nextPageToken")):
            return
        query = query | {"pageToken": token}
    raise ApiError(f"more than {_MAX_PAGES} pages came")


def _minute(point: Any, begin: datetime) -> int:
    return round((datetime.fromisoformat(point["interval"]["endTime"]) - begin).total_seconds() / MINUTE_S)


def _value(point: Any) -> float:
    """Return a value from 0 up. Raises ApiError for any other number, TypeError or ValueError for other values."""
    [(kind, given)] = point["value"].items()
    if kind not in ("int64Value", "doubleValue") or isinstance(given, bool):
        raise TypeError(kind)
    value = float(given)
    if not isfinite(value) or value < 0:
        raise ApiError(f"a value is {quoted(given)}; it must be a number from 0 up")
    return value


def _minute_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
