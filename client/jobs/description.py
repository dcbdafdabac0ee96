"""A job's state in plain values, for the commands jobs and status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from client.jobs.counts import Counts
from client.jobs.job import Job
from client.text import brief

State = Literal["running", "complete", "cancelled", "interrupted", "waiting"]
"""`running`: a command sends its images or receives its responses; `complete`: no response is missing; `cancelled`;
`interrupted`: images are not sent; `waiting`: responses are missing."""


def describe(job: Job) -> dict[str, Any]:
    """Return the state of a job and its numbers of images. Raises StoreError.

    `images` counts those that are known, which are not all while `all_images_known` is False. `missing` counts images
    without a response, of which `expired` had a time limit that is over.
    """
    is_listed = job.is_listed  # before the counts, which would miss images that are added meanwhile
    counts, made = job.counts(), job.definition
    missing = counts.unanswered if job.is_answered else 0
    return {
        "job": job.id,
        "state": _state(job, counts, is_listed, missing),
        "created_at": datetime.fromtimestamp(job.created_at, UTC).isoformat(timespec="seconds"),
        "command": made.command,
        "sends": made.described,
        "to": made.url or (made.bucket if made.command == "upload" else f"{made.broker}/{made.topic}".lstrip("/")),
        "images": counts.total,
        "all_images_known": is_listed,
        "sent": counts.sent,
        "answered": counts.answered,
        "ok": counts.ok,
        "errors": counts.errors,
        "missing": missing,
        "expired": job.expired(),
        "not_sent": counts.unsent,
        "failed": counts.failed,
        "subscription": f"{made.response_topic}-{made.client_id}"
        if made.client_id and not made.subscription
        else made.subscription,
    }


def described_lines(found: dict[str, Any]) -> list[str]:
    """Return the description as lines for a terminal."""
    errors = ", ".join(f"{count:,} {brief(code)}" for code, count in found["errors"].items())
    more = "" if found["all_images_known"] else " so far; the listing is not read to its end"
    rows = [
        ("job", found["job"]),
        ("state", found["state"]),
        ("created", found["created_at"]),
        ("sends", f"{brief(found['sends'])} with {found['command']} to {brief(found['to'])}"),
        ("images", f"{found['images']:,}{more}"),
        ("sent", f"{found['sent']:,}"),
        ("answered", f"{found['answered']:,}" + (f" ({errors})" if errors else "")),
        ("missing", f"{found['missing']:,}" + (f" ({found['expired']:,} expired)" if found["expired"] else "")),
        ("not sent", f"{found['not_sent']:,}" + (f" ({found['failed']:,} failed)" if found["failed"] else "")),
    ]
    return [f"{name:<9} {value}" for name, value in rows]


def _state(job: Job, counts: Counts, is_listed: bool, missing: int) -> State:
    is_sent = is_listed and not counts.unsent
    if job.is_cancelled:
        return "cancelled"
    if is_sent and not missing and counts.total:
        return "complete"
    if job.is_held():
        return "running"
    return "waiting" if is_sent else "interrupted"
