"""Reads and sets the instance count of a worker pool ("Method: projects.locations.workerPools.patch", Google Cloud)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from functions.scaling.google_api import ApiError, GoogleApi
from model.text import quoted

ENDPOINT = "https://run.googleapis.com"

_CONFLICT = (409, 412)
"""Statuses of a change that another change has overtaken: the etag is an old one."""


class Unsure(ApiError):
    """It is not known whether the pool was changed."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool by its full name, its instance count, None when no count is set, and the etag of what was read."""

    name: str
    count: int | None
    etag: str


def read_pool(api: GoogleApi, name: str) -> Pool:
    """Raises ApiError, also for a pool that Cloud Run scales automatically."""
    reply = api.call("GET", f"{ENDPOINT}/v2/{name}")
    scaling, etag = reply.get("scaling", {}), reply.get("etag")
    mode = scaling.get("scalingMode", "MANUAL") if isinstance(scaling, dict) else None
    if mode not in ("MANUAL", "SCALING_MODE_UNSPECIFIED"):
        raise ApiError(f"{_short(name)} has the scaling mode {quoted(mode)}; it must be MANUAL")
    count = scaling.get("manualInstanceCount")
    if not _is_count(count) or not etag or not isinstance(etag, str):
        raise ApiError(f"{_short(name)} has no usable instance count and etag: {quoted(count)}, {quoted(etag)}")
    return Pool(name, count, etag)


def set_count(api: GoogleApi, pool: Pool, count: int) -> None:
    """Set the count, unless the pool was changed since it was read.

    Raises ApiError when the pool keeps its count, and Unsure when that is not known.
    """
    body = {"name": pool.name, "etag": pool.etag, "scaling": {"manualInstanceCount": count}}
    mask = {"updateMask": "scaling.manualInstanceCount"}
    try:
        reply = api.call("PATCH", f"{ENDPOINT}/v2/{pool.name}", params=mask, json=body)
    except ApiError as exc:
        if exc.status in _CONFLICT:
            raise ApiError(f"{_short(pool.name)} was changed by someone else meanwhile", exc.status) from exc
        if 400 <= exc.status < 500:
            raise
        raise Unsure(str(exc), exc.status) from exc
    if error := reply.get("error"):
        raise Unsure(f"the change of {_short(pool.name)} failed: {quoted(error)}")


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _short(name: str) -> str:
    return name.rpartition("/")[2]
