"""Buckets: create, read, list, change, lock, delete and restore."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from infra.local.storage import access, acl
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
_DAYS = ("age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions")
_PREVENTION = ("inherited", "enforced", "unspecified")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]+[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_MULTI, _DUAL = ("US", "EU", "ASIA"), ("NAM4", "EUR4", "EUR5", "EUR7", "EUR8", "ASIA1")


def find(store: Store, name: str) -> Row:
    """A live bucket. Refuses with 404."""
    if not (row := store.get("bucket", "", name)):
        raise Refusal(404, f"The bucket {name} does not exist", "notFound", "NoSuchBucket")
    return row


def make(store: Store, name: str, settings: dict[str, Any], project: str = "") -> Row:
    """Create a bucket of a project, or of every project. Refuses a name that exists."""
    if store.get("bucket", "", name):
        raise Refusal(409, f"The bucket {name} exists already", "conflict")
    location = str(settings.get("location") or "US").upper()
    dual = "customPlacementConfig" in settings or location in _DUAL
    data = {
        "projectNumber": acl.project_number(project),
        **({"project": project} if project else {}),
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
    name, project = asked.get("name"), request.query.get("project", "")
    _check_name(name)
    settings = writable(asked)
    if request.flag("enableObjectRetention"):
        settings["objectRetention"] = {"mode": "Enabled"}
    row = make(store, str(name), settings, project)
    row.data |= access.checked(row, {field: row.data[field] for field in acl.LISTS if field in row.data})
    row.data |= access.checked(row, access.predefined(request, row))
    return shown(store.put(row), request.base_url, full=_full(request) or any(field in row.data for field in acl.LISTS))


def _check_name(name: object) -> None:
    """Refuse what is no bucket's name (Google Cloud, "About Cloud Storage buckets")."""
    good = (
        isinstance(name, str)
        and _NAME.fullmatch(name)
        and len(name) <= (222 if "." in name else 63)
        and all(1 <= len(part) <= 63 for part in name.split("."))
        and not _ADDRESS.fullmatch(name)
        and not name.startswith("goog")
    )
    if not good:
        reason = (
            "name must have 3 to 63 characters of a to z, 0 to 9, dash, underscore and dot, begin and end with one of "
            f"a to z or 0 to 9, not begin with goog and be no IP address; it is {name!r}"
        )
        raise Refusal(400, reason, "invalid")


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
    project = request.query.get("project", "")
    mine = (row for row in found if row.name.startswith(prefix) and acl.belongs(row, project))
    rows, token = page(((row.name, row) for row in mine), most)
    items = [shown(row, request.base_url, full=_full(request)) for _, row in rows]
    return {"kind": "storage#buckets", "items": items, **({"nextPageToken": token} if token else {})}


def patch(request: Request, store: Store) -> Any:
    """Merge settings into a bucket's, or with PUT replace them."""
    row = find(store, request.bucket)
    check(request.conditions, row)
    fields = request.json()
    check_version(request, row, fields)
    asked, before = access.checked(row, {**fields, **access.predefined(request, row)}), row.data
    data = _settled(changed(before, asked, replace=request.method == "PUT"), before)
    locked, kept = before.get("retentionPolicy", {}), data.get("retentionPolicy", {})
    if locked.get("isLocked") and int(kept.get("retentionPeriod", 0)) < int(locked["retentionPeriod"]):
        raise Refusal(403, "A locked retention policy cannot be shortened or removed", "forbidden")
    renew(row, data)
    return shown(store.put(row), request.base_url, full=request.query.get("projection") != "noAcl")


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
    for rule in data.get("cors") or ():
        _to_number(rule, "maxAgeSeconds", "cors")
    lifecycle = data.get("lifecycle") or {}
    for rule in lifecycle.get("rule") or () if isinstance(lifecycle, dict) else ():
        for name in _DAYS:
            _to_number(rule.get("condition") or {}, name, "lifecycle.rule.condition")
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


def _to_number(fields: Any, name: str, where: str) -> None:
    """Make a field the number that the API returns, also where a client sent its digits as a string."""
    if not isinstance(fields, dict):
        raise Refusal(400, f"An entry of {where} must be an object, not {fields!r}", "invalid")
    if name in fields:
        if not str(fields[name]).isdecimal():
            raise Refusal(400, f"{where}.{name} must be a whole number, not {fields[name]!r}", "invalid")
        fields[name] = int(fields[name])


def _full(request: Request) -> bool:
    return request.query.get("projection") == "full"
