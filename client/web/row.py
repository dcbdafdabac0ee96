"""A row of the page: an image of a job with its result, as JSON."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from client.jobs.stored_record import NO_ANSWER, NOT_SENT
from client.results.record import Record

_LEFT_OUT = ("features", "status")


def to_json(job: str, number: int, record: Record, kept: Set[str] = frozenset(), key: str = "") -> dict[str, Any]:
    """Return a row. `state` is the record's status, but `waiting` before the image is sent, and `sent` after it.

    `kept`: which files the row has. With `has_features`, similar rows can be found. `key` names the image for the page
    that has uploaded it.
    """
    state = {NOT_SENT: "waiting", NO_ANSWER: "sent"}.get(record.problem, record.status)
    row = {name: value for name, value in record.to_row().items() if name not in _LEFT_OUT and value not in (None, "")}
    files = {what: True for what in ("thumbnail", "explanation") if what in kept}
    if record.features:
        files["has_features"] = True
    return {"job": job, "n": number, "state": state, **({"key": key} if key else {}), **files, **row}
