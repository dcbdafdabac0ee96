"""Buckets: create, read, list, change, lock, delete and restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.storage import access
from infra.local.storage.answer import Refusal
from infra.local.storage.preconditions import check, check_version
from infra.local.storage.request import Request
from infra.local.storage.resources import changed, now, page, renew, shown, soft_delete_times, soft_s, writable
from infra.local.storage.store import DELETED, LIVE, OLD, Row, Store

_STAMPED = {
    "retentionPolicy": ("effectiveTime",),
    "softDeletePolicy": ("effectiveTime",),
    "autoclass": ("toggleTime", "terminalStorageClassUpdateTime"),
}
_PREVENTION = ("inherited", "enforced", "unspecified")
_MULTI, _DUAL = ("US", "EU", "ASIA"), ("NAM4", "EUR4", "EUR5", "EUR7", "EUR8", "ASIA1")


def find(store: Store, name: str) -> Row:
    """A live bucket. Refuses with 404."""
    if not (row := store.get("bucket", "", name)):
        raise Refusal(404, f"The bucket {name} does not exist", "notFound")
    return row


def make(store: Store, name: str, settings: dict[str, Any]) -> Row:
    """Create a bucket. Refuses a name that exists."""
    if not name or "/" in name:
        raise Refusal(400, f"name must be a bucket's name, not {name!r}", "required")
    if store.get("bucket", "", name):
        raise Refusal(409, f"The bucket {name} exists already", "conflict")
    location = str(settings.get("location") or "US").upper()
    dual = "customPlacementConfig" in settings or location in _DUAL
    data = {
        "projectNumber": "0",
        "storageClass": "STANDARD",
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}, "publicAccessPrevention": "inherited"},
        "softDeletePolicy": {"retentionDurationSeconds": "0"},  # the cloud's default is one week
        **({"rpo": "DEFAULT"} if dual or location in _MULTI else {}),
        **settings,
        "location": location,
        "locationType": "dual-region" if dual else "multi-region" if location in _MULTI else "region",
        "metageneration": "1",
        "timeCreated": (made := now()),
        "updated": made,
    }
    return store.put(Row("bucket", "", name, _settled(data, {}), store.generation()))


def create(request: Request, store: Store) -> Any:
    """Create a bucket with the requested settings."""
    asked = request.json()
    settings = writable(asked) | access.predefined(request)
    if request.flag("enableObjectRetention"):
        settings["objectRetention"] = {"mode": "Enabled"}
    return shown(make(store, str(asked.get("name", "")), settings), request.base_url, full=_full(request))


def get(request: Request, store: Store) -> Any:
    """Read a bucket, or with `softDeleted` a soft-deleted one."""
    row = _wanted(request, store) if request.flag("softDeleted") else find(store, request.bucket)
    check(request.conditions, row, reads=True)
    return shown(row, request.base_url, full=_full(request))


def ls(request: Request, store: Store) -> Any:
    """List a page of buckets."""
    prefix, after = request.query.get("prefix", ""), request.query.get("pageToken", "")
    states = [DELETED] if request.flag("softDeleted") else [LIVE]
    found = store.rows("bucket", "", "AND name >= ? AND name > ?", prefix, after, states=states)
    most = min(request.number("maxResults") or 1000, 1000)
    rows, token = page(((row.name, row) for row in found if row.name.startswith(prefix)), most)
    items = [shown(row, request.base_url, full=_full(request)) for _, row in rows]
    return {"kind": "storage#buckets", "items": items, **({"nextPageToken": token} if token else {})}


def patch(request: Request, store: Store) -> Any:
    """Merge settings into a bucket's, or with PUT replace them."""
    row = find(store, request.bucket)
    check(request.conditions, row)
    fields = request.json()
    check_version(request, row, fields)
    asked, before = {**fields, **access.predefined(request)}, row.data
    access.check_change(row, asked)
    data = _settled(changed(before, asked, replace=request.method == "PUT"), before)
    locked, kept = before.get("retentionPolicy", {}), data.get("retentionPolicy", {})
    if locked.get("isLocked") and int(kept.get("retentionPeriod", 0)) < int(locked["retentionPeriod"]):
        raise Refusal(403, "A locked retention policy cannot be shortened or removed", "forbidden")
    renew(row, data)
    return shown(store.put(row), request.base_url, full=_full(request))


def lock(request: Request, store: Store) -> Any:
    """Lock a bucket's retention policy, after which it cannot be shortened."""
    row = find(store, request.bucket)
    check(request.conditions, row)
    if "retentionPolicy" not in row.data:
        raise Refusal(400, f"The bucket {row.name} has no retention policy to lock", "invalid")
    renew(row, changed(row.data, {"retentionPolicy": {"isLocked": True}}))
    return shown(store.put(row), request.base_url)


def delete(request: Request, store: Store) -> None:
    """Delete an empty bucket with its uploads and notifications."""
    row = find(store, request.bucket)
    check(request.conditions, row)
    if next(store.rows("object", row.name, states=(LIVE, OLD)), None):
        raise Refusal(409, f"The bucket {row.name} is not empty; delete its objects first", "conflict")
    for kind in ("upload", "notification", "object"):
        for each in list(store.rows(kind, row.name, states=(LIVE, DELETED))):
            store.delete(each)
    if kept_s := soft_s(row):
        row.state = DELETED
        row.data |= soft_delete_times(kept_s)
        store.put(row)
    else:
        store.delete(row)


def restore(request: Request, store: Store) -> Any:
    """Restore a soft-deleted bucket."""
    row = _wanted(request, store)
    row.state = LIVE
    row.data = {name: value for name, value in row.data.items() if not name.endswith("DeleteTime")}
    return shown(store.put(row), request.base_url)


def _wanted(request: Request, store: Store) -> Row:
    row = store.get("bucket", "", request.bucket, request.number("generation"), state=DELETED)
    if not row or row.data["hardDeleteTime"] < now():
        raise Refusal(404, f"There is no soft-deleted bucket {request.bucket} of that generation", "notFound")
    return row


def _settled(data: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Set the times at which policies took effect, and refuse invalid settings."""
    for field in ("retentionPolicy", "softDeletePolicy", "autoclass", "versioning", "encryption", "iamConfiguration"):
        if not isinstance(data.get(field, {}), dict):
            raise Refusal(400, f"{field} must be an object, not {data[field]!r}", "invalid")
    prevention = data.get("iamConfiguration", {}).get("publicAccessPrevention", "inherited")
    if prevention not in _PREVENTION:
        raise Refusal(
            400, f"publicAccessPrevention must be one of {', '.join(_PREVENTION)}, not {prevention!r}", "invalid"
        )
    if data.get("autoclass"):
        data["autoclass"] = {"terminalStorageClass": "NEARLINE", **data["autoclass"]}
    for field, part in (("retentionPolicy", "retentionPeriod"), ("softDeletePolicy", "retentionDurationSeconds")):
        if part not in data.get(field, {}):
            continue
        seconds = str(data[field][part])
        if not seconds.isdecimal():
            raise Refusal(400, f"{field}.{part} must be a whole number of seconds, not {seconds!r}", "invalid")
        data[field] = {**data[field], part: seconds}
    for field, stamps in _STAMPED.items():
        if data.get(field) and data[field] != before.get(field):
            data[field] = {**data[field], **dict.fromkeys(stamps, now())}
    encryption = data.get("encryption", {})
    for name, rule in encryption.items():
        if isinstance(rule, dict) and rule != before.get("encryption", {}).get(name):  # a restriction of encryption
            since = {"effectiveTime": now()} if rule.get("restrictionMode") == "FullyRestricted" else {}
            data["encryption"] = {
                **data["encryption"],
                name: {"restrictionMode": rule.get("restrictionMode"), **since},
            }
    return data


def _full(request: Request) -> bool:
    return request.query.get("projection") == "full"
