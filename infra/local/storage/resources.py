"""Resources of buckets and objects: their representation, and changes of their fields. Any field is stored as given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from infra.local.storage import acl
from infra.local.storage.store import Row

# Fields that only the server sets.
# fmt: off
_OURS = frozenset({
    "kind", "id", "selfLink", "mediaLink", "name", "bucket", "generation", "metageneration", "etag", "projectNumber",
    "owner", "timeCreated", "updated", "timeDeleted", "timeStorageClassUpdated", "softDeleteTime", "hardDeleteTime",
    "size", "md5Hash", "crc32c", "componentCount", "customerEncryption", "retentionExpirationTime", "restoreToken",
    "locationType", "holdReleased", "iam", "project", "timeFinalized"
})
# fmt: on

# Fields that a replacement keeps.
_KEPT = frozenset(
    {"contentType", "storageClass", "location", "acl", "defaultObjectAcl", "iamConfiguration", "customTime"}
)

# Fields that exist always; an empty object in a patch leaves them as they are.
_ALWAYS = frozenset({"iamConfiguration", "softDeletePolicy"})

# Fields that responses omit: these are for the server alone, or have another representation.
_HIDDEN = frozenset({"acl", "defaultObjectAcl", "iam", "holdReleased", "project"})


def now() -> str:
    """The time, in RFC 3339 with microseconds."""
    return _text(datetime.now(UTC))


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def soft_delete_times(kept_s: int) -> dict[str, str]:
    """When a resource is deleted softly, now, and when it will be deleted for good."""
    began = datetime.now(UTC)
    return {"softDeleteTime": _text(began), "hardDeleteTime": _text(began + timedelta(seconds=kept_s))}


def writable(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a client may set."""
    return _whole({name: value for name, value in asked.items() if name not in _OURS and value is not None})


def changed(data: Mapping[str, Any], asked: Mapping[str, Any], *, replace: bool = False) -> dict[str, Any]:
    """The data with fields merged (RFC 7396; an empty object clears), or with all replaced that a client may set."""
    fields = {name: value for name, value in asked.items() if name not in _OURS}
    if replace:
        kept = {name: value for name, value in data.items() if name in _OURS | _KEPT}
        return kept | writable(fields)
    cleared = {name: None for name, value in fields.items() if value == {} and name not in _ALWAYS}
    return _whole(_merged(data, fields | cleared))


def renew(row: Row, data: dict[str, Any]) -> bool:
    """Give a row its new data and the next metageneration; False where nothing differs."""
    if data == row.data:
        return False
    row.data = data | {"metageneration": str(int(row.data["metageneration"]) + 1), "updated": now()}
    return True


def shown(
    row: Row, base_url: str, bucket: Row | None = None, *, full: bool = False, keyed: bool = False
) -> dict[str, Any]:
    """The resource of a bucket or an object for a response; access control only in the `full` projection.

    `keyed`: the request has the object's encryption key, without which an encrypted object has no hashes.
    """
    path = f"/storage/v1/b/{quote(row.name if row.kind == 'bucket' else row.parent, safe='')}"
    fields = {
        "kind": f"storage#{row.kind}",
        "name": row.name,
        "etag": row.etag,
        "generation": str(row.generation),
        **{name: value for name, value in row.data.items() if name not in _HIDDEN},
    }
    owning = row if row.kind == "bucket" else bucket
    if full and owning and not acl.is_uniform(owning):
        for field in acl.LISTS if row.kind == "bucket" else ("acl",):
            fields[field] = [acl.represented(row, field, each, base_url) for each in acl.entries(row, field, owning)]
        fields["owner"] = {"entity": acl.owner(owning)}
    if row.kind == "bucket":
        return {**fields, "id": row.name, "selfLink": base_url + path}
    where = f"/o/{quote(row.name, safe='')}"
    if bucket and (until := retained_until(row, bucket)):
        fields["retentionExpirationTime"] = until
    if "customerEncryption" in fields and not keyed:
        fields = {name: value for name, value in fields.items() if name not in ("md5Hash", "crc32c")}
    return {
        **fields,
        "id": f"{row.parent}/{row.name}/{row.generation}",
        "bucket": row.parent,
        "timeFinalized": row.data["timeCreated"],
        "selfLink": base_url + path + where,
        "mediaLink": f"{base_url}/download{path}{where}?generation={row.generation}&alt=media",
    }


def retained_until(row: Row, bucket: Row) -> str | None:
    """The time until which the bucket's retention policy or the object's own keeps it; None without either."""
    period = bucket.data.get("retentionPolicy", {}).get("retentionPeriod")
    until = row.data.get("retention", {}).get("retainUntilTime")
    if not period or row.data.get("eventBasedHold"):
        return str(until) if until else None
    began = datetime.fromisoformat(row.data.get("holdReleased") or row.data["timeCreated"])
    return _text(began + timedelta(seconds=int(period)))


def soft_s(bucket: Row) -> int:
    """Seconds that a bucket keeps deleted objects."""
    return int(bucket.data.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))


def hash_header(data: Mapping[str, Any]) -> str:
    """The value of X-Goog-Hash for an object's hashes."""
    named = (("crc32c", "crc32c"), ("md5", "md5Hash"))
    return ",".join(f"{kind}={data[field]}" for kind, field in named if data.get(field))


def page(entries: Iterable[tuple[str, Any]], most: int) -> tuple[list[tuple[str, Any]], str | None]:
    """The first `most` entries, and the name after which the next page starts."""
    found: list[tuple[str, Any]] = []
    for entry in entries:
        if len(found) == most:
            return found, found[-1][0]
        found.append(entry)
    return found, None


def _whole(data: dict[str, Any]) -> dict[str, Any]:
    """The data without settings that are empty, which the cloud does not return."""
    empty: tuple[Any, ...] = ({}, [], {"rule": []}, {"custom": {}})
    return {name: value for name, value in data.items() if value not in empty or name in acl.LISTS}


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, Mapping):
        return new
    base = old if isinstance(old, Mapping) else {}
    kept = {key: value for key, value in base.items() if key not in new}
    return kept | {key: _merged(base.get(key), value) for key, value in new.items() if value is not None}
