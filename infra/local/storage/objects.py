"""Objects and their generations: create, overwrite, archive, read, change, delete, restore."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra.local.storage import access, acl, buckets, contexts, keys, metadata
from infra.local.storage.answer import Refusal
from infra.local.storage.preconditions import check, check_version
from infra.local.storage.request import Request
from infra.local.storage.resources import changed, now, renew, retained_until, shown, soft_delete_times, soft_s
from infra.local.storage.store import DELETED, LIVE, OLD, Row, Store


def find(store: Store, bucket: Row, name: str, generation: int = 0, *, state: int | None = None) -> Row:
    """An object: live, of a generation, or in another state. Refuses with 404."""
    row = store.get("object", bucket.name, name, generation, state=state)
    if not row or row.data.get("hardDeleteTime", "~") < now():
        raise Refusal(404, f"No such object in {bucket.name}", "notFound")
    return row


def named(request: Request, store: Store, fields: Mapping[str, Any] | None = None) -> tuple[Row, Row]:
    """The bucket and the object that a request names, after the check of its preconditions.

    `fields`: the resource in a request that changes it. Google's Java client names the generation only there.
    """
    bucket = buckets.find(store, request.bucket)
    state = DELETED if request.flag("softDeleted") else None
    generation = request.query.get("generation") or str((fields or {}).get("generation") or 0)
    if not generation.isdecimal():
        raise Refusal(400, f"generation must be a whole number, not {generation!r}", "invalid")
    row = find(store, bucket, request.object, int(generation), state=state)
    check(request.conditions, row, reads=request.method in ("GET", "HEAD"))
    check_version(request, row, fields or {})
    return bucket, row


def publish(
    store: Store, bucket: Row, name: str, fields: Mapping[str, Any], body: str, conditions: Mapping[str, str]
) -> Row:
    """Make an object live. The previous live object of its name is archived or deleted.

    `fields`: its metadata, including the server's measurements (size, hashes, componentCount, customerEncryption).
    """
    if not name or len(name.encode()) > 1024 or "\n" in name or "\r" in name:
        raise Refusal(400, f"name must be 1 to 1024 bytes on one line, not {name[:80]!r}", "invalid")
    metadata.check(fields)
    fields = access.checked(bucket, fields)
    before = store.get("object", bucket.name, name)
    check(conditions, before)
    at = now()
    made = {"metageneration": "1", **dict.fromkeys(("timeCreated", "updated", "timeStorageClassUpdated"), at)}
    data = {"storageClass": bucket.data.get("storageClass", "STANDARD"), **contexts.settled(fields, {}, at), **made}
    if bucket.data.get("defaultEventBasedHold"):
        data.setdefault("eventBasedHold", True)
    if (key := bucket.data.get("encryption", {}).get("defaultKmsKeyName")) and "customerEncryption" not in data:
        data.setdefault("kmsKeyName", key)
    if (default := bucket.data.get("defaultObjectAcl")) is not None and not acl.is_uniform(bucket):
        data.setdefault("acl", default)
    row = Row("object", bucket.name, name, data, store.generation(), LIVE, body)
    if before:
        retire(store, bucket, before, overwrittenByGeneration=str(row.generation))
        store.note("OBJECT_FINALIZE", row, overwroteGeneration=str(before.generation))
    else:
        store.note("OBJECT_FINALIZE", row)
    return store.put(row)


def get(request: Request, store: Store) -> Any:
    """Read an object's metadata."""
    bucket, row = named(request, store)
    return answer(request, bucket, row)


def answer(request: Request, bucket: Row, row: Row, *, full: bool = False) -> dict[str, Any]:
    """The resource of an object for the response; `full`: the projection unless the request names one."""
    asked = request.query.get("projection", "full" if full else "noAcl") == "full"
    keyed = "customerEncryption" in row.data and bool(keys.given(request))
    return shown(row, request.base_url, bucket, full=asked, keyed=keyed)


def patch(request: Request, store: Store) -> Any:
    """Merge metadata into an object's, or with PUT replace it."""
    fields = request.json()
    bucket, row = named(request, store, fields)
    asked = access.checked(bucket, {**contexts.patched(fields), **access.predefined(request, bucket)})
    before = row.data
    data = contexts.settled(changed(before, asked, replace=request.method == "PUT"), before, now())
    metadata.check(data)
    metadata.check_custom_time(before, data)
    _check_retention(before.get("retention"), data.get("retention"), request.flag("overrideUnlockedRetention"))
    if before.get("eventBasedHold") and not data.get("eventBasedHold"):
        data["holdReleased"] = now()
    if renew(row, data):
        store.note("OBJECT_METADATA_UPDATE", row)
        store.put(row)
    return answer(request, bucket, row, full=True)


def _check_retention(before: Mapping[str, str] | None, after: Mapping[str, str] | None, override: bool) -> None:
    """Refuse a change of an object's own retention, except a longer time, a lock, or with `override` while unlocked."""
    if not before or after == before:
        return
    if after and after.get("mode") in (before["mode"], "Locked"):
        was, until = (datetime.fromisoformat(each["retainUntilTime"]) for each in (before, after))
        if until >= was:
            return
    if before["mode"] == "Locked":
        raise Refusal(403, "The object's retention is locked, and can only be made longer", "forbidden")
    if not override:
        reason = "The object's retention can be shortened or removed only with overrideUnlockedRetention"
        raise Refusal(403, reason, "forbidden")


def delete(request: Request, store: Store) -> None:
    """Delete an object. With versioning, the live object is archived unless the request names its generation."""
    bucket, row = named(request, store)
    retire(store, bucket, row, final="generation" in request.query)


def restore(request: Request, store: Store) -> Any:
    """Restore a soft-deleted object as a new generation."""
    bucket = buckets.find(store, request.bucket)
    row = find(store, bucket, request.object, request.number("generation"), state=DELETED)
    if (token := request.query.get("restoreToken")) and token != row.data.get("restoreToken"):
        raise Refusal(400, f"restoreToken is not that of the soft-deleted object: {token!r}", "invalid")
    fields = {
        name: value
        for name, value in row.data.items()
        if not name.endswith("DeleteTime") and name not in ("timeDeleted", "restoreToken")
    }
    if acl.is_uniform(bucket):
        fields.pop("acl", None)
    made = publish(store, bucket, row.name, fields, store.join([row.body]), request.conditions)
    return answer(request, bucket, made)


def retire(store: Store, bucket: Row, row: Row, *, final: bool = False, **extra: str) -> None:
    """Archive or delete an object; `final` deletes it even with versioning."""
    until = retained_until(row, bucket)
    if row.data.get("temporaryHold") or row.data.get("eventBasedHold") or (until and until > now()):
        why = f"it is retained until {until}" if until else "it is held"
        raise Refusal(403, f"The object {row.name} cannot be deleted or overwritten: {why}", "retentionPolicyNotMet")
    row.data["timeDeleted"] = now()
    if row.state == LIVE and not final and bucket.data.get("versioning", {}).get("enabled"):
        row.state = OLD
        store.put(row)
        store.note("OBJECT_ARCHIVE", row, **extra)
        return
    store.note("OBJECT_DELETE", row, **extra)
    if kept_s := soft_s(bucket):
        row.state = DELETED
        row.data |= soft_delete_times(kept_s)
        if bucket.data.get("hierarchicalNamespace", {}).get("enabled"):
            row.data["restoreToken"] = str(uuid.uuid4())
        store.put(row)
    else:
        store.delete(row)
