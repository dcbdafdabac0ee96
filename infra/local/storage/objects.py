"""Objects and their generations: create, overwrite, archive, read, change, delete, restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.storage import access, buckets, metadata
from infra.local.storage.answer import Refusal
from infra.local.storage.preconditions import check
from infra.local.storage.request import Request
from infra.local.storage.resources import change, now, retained_until, shown, soft_s
from infra.local.storage.store import DELETED, LIVE, OLD, Row, Store


def find(store: Store, bucket: Row, name: str, generation: int = 0, *, state: int | None = None) -> Row:
    """An object: live, of a generation, or in another state. Refuses with 404."""
    row = store.get("object", bucket.name, name, generation, state=state)
    if not row or row.data.get("hardDeleteTime", "~") < now():
        raise Refusal(404, f"No such object in {bucket.name}", "notFound")
    return row


def named(request: Request, store: Store) -> tuple[Row, Row]:
    """The bucket and the object that a request names, after the check of its preconditions."""
    bucket = buckets.find(store, request.bucket)
    state = DELETED if request.flag("softDeleted") else None
    row = find(store, bucket, request.object, request.number("generation"), state=state)
    check(request.conditions, row, reads=request.method in ("GET", "HEAD"))
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
    before = store.get("object", bucket.name, name)
    check(conditions, before)
    made = {"metageneration": "1", "timeCreated": (at := now()), "updated": at, "timeStorageClassUpdated": at}
    data = {"storageClass": bucket.data.get("storageClass", "STANDARD"), **fields, **made}
    if bucket.data.get("defaultEventBasedHold"):
        data.setdefault("eventBasedHold", True)
    if (key := bucket.data.get("encryption", {}).get("defaultKmsKeyName")) and "customerEncryption" not in data:
        data.setdefault("kmsKeyName", key)
    if acl := bucket.data.get("defaultObjectAcl"):
        data.setdefault("acl", acl)
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
    return shown(row, request.base_url, bucket, full=request.query.get("projection") == "full")


def patch(request: Request, store: Store) -> Any:
    """Merge metadata into an object's, or with PUT replace it."""
    bucket, row = named(request, store)
    asked = {**request.json(), **access.predefined(request)}
    access.check_change(bucket, asked)
    held, retention = row.data.get("eventBasedHold"), row.data.get("retention")
    change(row, asked, replace=request.method == "PUT")
    metadata.check(row.data)
    if row.data.get("retention") != retention and retention and not request.flag("overrideUnlockedRetention"):
        raise Refusal(403, "The object's retention can be changed only with overrideUnlockedRetention", "forbidden")
    if held and not row.data.get("eventBasedHold"):
        row.data["holdReleased"] = now()
    store.note("OBJECT_METADATA_UPDATE", row)
    return shown(store.put(row), request.base_url, bucket, full=True)


def delete(request: Request, store: Store) -> None:
    """Delete an object. With versioning, the live object is archived unless the request names its generation."""
    bucket, row = named(request, store)
    retire(store, bucket, row, final="generation" in request.query)


def restore(request: Request, store: Store) -> Any:
    """Restore a soft-deleted object as a new generation."""
    bucket = buckets.find(store, request.bucket)
    row = find(store, bucket, request.object, request.number("generation"), state=DELETED)
    fields = {
        name: value for name, value in row.data.items() if not name.endswith("DeleteTime") and name != "timeDeleted"
    }
    made = publish(store, bucket, row.name, fields, store.join([row.body]), request.conditions)
    return shown(made, request.base_url, bucket)


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
        row.data |= {"softDeleteTime": now(), "hardDeleteTime": now(kept_s)}
        store.put(row)
    else:
        store.delete(row)
