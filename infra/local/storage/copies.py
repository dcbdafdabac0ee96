"""Objects made from other objects: copy, rewrite, move and compose."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from infra.local.storage import access, buckets, contexts, keys, objects, uploads
from infra.local.storage.answer import Refusal
from infra.local.storage.preconditions import check, check_source
from infra.local.storage.request import Request
from infra.local.storage.resources import writable
from infra.local.storage.store import Row, Store

# Source objects of a compose.
_MOST_SOURCES = 32

# Metadata that a copy does not get from its source.
_NOT_COPIED = frozenset({"acl", "temporaryHold", "eventBasedHold", "retention", "storageClass"})

# Metadata that describes the bytes.
_OF_BYTES = ("size", "md5Hash", "crc32c", "componentCount")


def copy(request: Request, store: Store) -> Any:
    """Copy an object; a request body overrides its metadata."""
    bucket, made = _copied(request, store, _source(request, store))
    return objects.answer(request, bucket, made, full=True)


def rewrite(request: Request, store: Store) -> Any:
    """Copy an object, at most `maxBytesRewrittenPerCall` bytes per call. A token continues an earlier call."""
    row = _source(request, store)
    size, most = int(row.data["size"]), request.number("maxBytesRewrittenPerCall")
    done = _done(request.query.get("rewriteToken", ""), row) + (most or size)
    progress = {"kind": "storage#rewriteResponse", "objectSize": str(size), "totalBytesRewritten": str(min(done, size))}
    if done < size:
        token = base64.urlsafe_b64encode(f"{row.generation}/{done}".encode()).decode()
        return {**progress, "done": False, "rewriteToken": token}
    bucket, made = _copied(request, store, row)
    return {**progress, "done": True, "resource": objects.answer(request, bucket, made, full=True)}


def move(request: Request, store: Store) -> Any:
    """Rename an object in its bucket, atomically."""
    request.params["to_bucket"] = request.params["bucket"]
    row = _source(request, store)
    if unquote(request.params["to"]) == row.name:
        raise Refusal(400, f"The object {row.name} already has that name", "invalid")
    bucket, made = _copied(request, store, row)
    objects.retire(store, bucket, row)
    return objects.answer(request, bucket, made)


def compose(request: Request, store: Store) -> Any:
    """Concatenate up to 32 objects of a bucket; each may name a generation."""
    bucket, asked = buckets.find(store, request.bucket), request.json()
    wanted = asked.get("sourceObjects") or []
    if not 1 <= len(wanted) <= _MOST_SOURCES:
        raise Refusal(400, f"compose takes 1 to {_MOST_SOURCES} source objects, not {len(wanted)}", "invalid")
    sources = []
    for each in wanted:
        generation = str(each.get("generation") or 0)
        if not generation.isdecimal():
            raise Refusal(400, f"generation must be a whole number, not {generation!r}", "invalid")
        row = objects.find(store, bucket, str(each.get("name")), int(generation))
        check({name: str(value) for name, value in (each.get("objectPreconditions") or {}).items()}, row)
        keys.check(row, request)
        sources.append(row)
    wanted = asked.get("destination") or {}
    metadata = {
        **contexts.merged(sources),
        **writable(wanted),
        **access.predefined(request, bucket),
        **keys.given(request),
    }
    body = store.join([row.body for row in sources])
    sums = store.measure(body)
    uploads.compare({"crc32c": wanted.get("crc32c")}, sums)
    del sums["md5Hash"]  # a composite object has none
    sums["componentCount"] = sum(int(row.data.get("componentCount", 1)) for row in sources)  # type: ignore[assignment]
    made = objects.publish(store, bucket, request.object, metadata | sums, body, request.conditions)
    if asked.get("deleteSourceObjects"):
        for row in {row.generation: row for row in sources if row.name != made.name}.values():
            objects.retire(store, bucket, row)
    return objects.answer(request, bucket, made, full=True)


def _source(request: Request, store: Store) -> Row:
    row = objects.find(store, buckets.find(store, request.bucket), request.object, request.number("sourceGeneration"))
    check_source(request.query, row)
    if "customerEncryption" in row.data and "x-goog-copy-source-encryption-key" not in request.headers:
        keys.check(row, request)  # a move, or a copy with the same key
    else:
        keys.check(row, request, "x-goog-copy-source-encryption-")
    return row


def _copied(request: Request, store: Store, row: Row) -> tuple[Row, Row]:
    """Copy an object; returns the copy's bucket and the copy."""
    bucket = buckets.find(store, unquote(request.params["to_bucket"]))
    metadata: Mapping[str, Any] = {k: v for k, v in writable(row.data).items() if k not in _NOT_COPIED}
    of_bytes = {field: row.data[field] for field in _OF_BYTES if field in row.data}
    whole = {
        **metadata,
        **writable(request.json()),
        **access.predefined(request, bucket),
        **keys.given(request),
        **of_bytes,
    }
    body = store.join([row.body])
    return bucket, objects.publish(store, bucket, unquote(request.params["to"]), whole, body, request.conditions)


def _done(token: str, row: Row) -> int:
    if not token:
        return 0
    try:
        generation, _, done = base64.urlsafe_b64decode(token).decode().partition("/")
        if int(generation) == row.generation:
            return int(done)
    except ValueError:
        pass
    raise Refusal(400, "rewriteToken must be from an earlier rewrite of this object", "invalid")
