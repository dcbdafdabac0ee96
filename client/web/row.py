"""A row of the page: an image of a job with its result, as JSON."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from client.jobs.job import Job
from client.jobs.stored_record import NO_ANSWER, NOT_SENT
from client.results.record import Record
from client.web.settings import is_of_page
from functions.errors import UNAVAILABLE

_LEFT_OUT = ("features", "status")


def to_json(job: Job, number: int, record: Record, kept: Set[str] = frozenset(), key: str = "") -> dict[str, Any]:
    """Return a row. `state` is the record's status, but `waiting` before the image is sent, and `sent` after it.

    `kept`: which files the row has. `key` names the image for the page that has uploaded it. `again` is there where the
    page can send the image again, `queued` while it waits in a topic, and `has_features` where similar rows can be
    found.
    """
    state = {NOT_SENT: "waiting", NO_ANSWER: "sent"}.get(record.problem, record.status)
    row = {name: value for name, value in record.to_row().items() if name not in _LEFT_OUT and value not in (None, "")}
    marks = {
        "again": is_of_page(job) and (state == "failed" or record.error_code == UNAVAILABLE),
        "queued": job.definition.command != "predict" and state in ("waiting", "sent"),
        "has_features": bool(record.features),
        **{what: what in kept for what in ("thumbnail", "explanation")},
    }
    found = {name: True for name, holds in marks.items() if holds}
    return {"job": job.id, "n": number, "state": state, **({"key": key} if key else {}), **found, **row}
