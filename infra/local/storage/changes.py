"""Objects made of others, and changes to what is said of one: patch, update, copy, rewrite, compose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest, Conflict
from gcp_storage_emulator.handlers import buckets, objects

from infra.local.storage.answer import Answer
from infra.local.storage.preconditions import verdict
from infra.local.storage.requests import StorageRequest
from infra.local.storage.store import ObjectStore, etag_of

_SAID = tuple(name for name in objects._WRITABLE_FIELDS if name not in ("crc32c", "md5Hash", "acl"))
_OF_BUCKETS = tuple(name for name in buckets._WRITABLE_BUCKET_FIELDS if name != "location")
_KEPT = frozenset({"contentType", "storageClass", "acl", "defaultObjectAcl", "iamConfiguration", "softDeletePolicy"})
_MOST_SOURCES = 32


def change_object(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Patch an object's metadata, or with PUT replace it."""
    bucket, name = request.params["bucket_name"], request.params["object_id"]
    if (current := store.current(bucket, name)) is None:
        answer.status = 404
        return
    fresh = _changed(current, _object(request), (*_SAID, "acl"), replace=request.method == "PUT")
    store.patch_object(bucket, name, fresh)
    answer.json(fresh)


def create_bucket(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Create a bucket with the settings that are asked for."""
    buckets.insert(request, answer, store)
    asked = _object(request)
    if answer.status == 200:
        made = _changed(store.get_bucket(asked["name"]), asked, (*_OF_BUCKETS, "location"), replace=False)
        made["metageneration"] = "1"
        made["etag"] = etag_of(made)
        store.create_bucket(made["name"], made)
        answer.json(made)


def change_bucket(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Patch a bucket's settings, or with PUT replace them."""
    name = request.params["bucket_name"]
    if (current := store.get_bucket(name)) is None:
        answer.status = 404
        return
    fresh = _changed(current, _object(request), _OF_BUCKETS, replace=request.method == "PUT")
    store.create_bucket(name, fresh)
    answer.json(fresh)


def copy(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Copy or rewrite an object, always whole; a body says what the copy's metadata is instead."""
    params = request.params
    there = store.current(params["bucket_name"], params["object_id"])
    if there is None or not store.get_bucket(params["dest_bucket_name"]):
        answer.status = 404
        return
    said = {name: there[name] for name in _SAID if name in there}
    said.update({name: value for name, value in _object(request).items() if name in (*_SAID, "acl")})
    content = store.get_file(params["bucket_name"], params["object_id"])
    made = _create(request, store, params["dest_bucket_name"], params["dest_object_id"], content, said)
    if "/rewriteTo/" in request.path:
        size = {"totalBytesRewritten": made["size"], "objectSize": made["size"]}
        answer.json({"kind": "storage#rewriteResponse", **size, "done": True, "resource": made})
    else:
        answer.json(made)


def compose(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Join up to 32 objects of a bucket into one; each may be bound to a generation."""
    bucket, asked = request.params["bucket_name"], _object(request)
    sources = asked.get("sourceObjects") or []
    if not 1 <= len(sources) <= _MOST_SOURCES:
        raise BadRequest(f"compose takes 1 to {_MOST_SOURCES} source objects, not {len(sources)}")
    whole, count, kind = [], 0, ""
    for source in sources:
        name = source.get("name", "")
        if (there := store.current(bucket, name)) is None:
            answer.status = 404
            return
        wanted = {**source.get("objectPreconditions", {}), **{k: v for k, v in source.items() if k == "generation"}}
        if status := verdict({key: [str(value)] for key, value in wanted.items() if value is not None}, there):
            answer.refuse(status, f"The source object {name} is not of the generation asked for", "conditionNotMet")
            return
        whole.append(store.get_file(bucket, name))
        count += int(there.get("componentCount", 1))
        kind = kind or there.get("contentType", "")
    said = {"contentType": kind, **(asked.get("destination") or {})}
    said = {name: value for name, value in said.items() if name in (*_SAID, "acl")}
    made = _create(request, store, bucket, request.params["object_id"], b"".join(whole), said, componentCount=count)
    answer.json(made)


def _create(
    request: StorageRequest, store: ObjectStore, bucket: str, name: str, content: bytes, said: Any, **more: Any
) -> dict[str, Any]:
    kind = said.get("contentType") or "application/octet-stream"
    made: dict[str, Any] = objects._make_object_resource(request.base_url, bucket, name, kind, "0", said)
    made.update(more)
    objects._checksums(content, made)
    if more:  # a composite has no MD5
        del made["md5Hash"]
    store.create_file(bucket, name, content, made)
    return made


def _changed(
    current: Mapping[str, Any], asked: Mapping[str, Any], names: tuple[str, ...], *, replace: bool
) -> dict[str, Any]:
    """A resource with some of its fields merged as JSON (RFC 7396), or replaced, as the next metageneration."""
    fresh = dict(current)
    for name in names:
        value = asked.get(name)
        if name in asked and value is not None:
            if name == "acl" or name == "defaultObjectAcl":
                kind = "object" if "bucket" in current or name == "defaultObjectAcl" else "bucket"
                owner = current.get("bucket", current["name"])
                value = (
                    objects._normalize_object_acl_entries(owner, current["name"], value)
                    if "bucket" in current
                    else buckets._normalize_bucket_acl_entries(owner, value, f"storage#{kind}AccessControl")
                )
            fresh[name] = value if replace else _merged(fresh.get(name), value)
        elif name in asked or (replace and name not in _KEPT):
            fresh.pop(name, None)
    fresh["metageneration"] = str(int(current["metageneration"]) + 1)
    fresh["updated"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fresh["etag"] = etag_of(fresh)
    return fresh


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, Mapping):
        return new
    base = old if isinstance(old, Mapping) else {}
    kept = {key: value for key, value in base.items() if key not in new}
    return kept | {key: _merged(base.get(key), value) for key, value in new.items() if value is not None}


def _object(request: StorageRequest) -> Mapping[str, Any]:
    asked = request.data or {}
    if not isinstance(asked, Mapping):
        raise BadRequest("The body must be a JSON object")
    return asked


def hashes(header: str) -> dict[str, str]:
    """The fields of a resource that an X-Goog-Hash header, `crc32c=...,md5=...`, foretells."""
    named = {"crc32c": "crc32c", "md5": "md5Hash"}
    pairs = [each.partition("=") for each in header.replace(" ", "").split(",")]
    return {named[kind]: value for kind, _, value in pairs if kind in named}


def check_hashes(header: str, content: bytes) -> None:
    """Refuse bytes that are not those of the header."""
    try:
        objects._checksums(content, hashes(header))
    except Conflict as exc:
        raise BadRequest(str(exc)) from exc
