"""Uploads through the JSON API: in one request, with or without metadata, or in several resumable requests."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import urlencode

from infra.local.storage import access, buckets, keys, objects
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.request import Request, json_object
from infra.local.storage.resources import writable
from infra.local.storage.store import Row, Store

# A last byte of * is that of the body: Google's Node client does not know its length when it begins.
_RANGE = re.compile(r"bytes (?:\*|(?P<first>\d+)-(?P<last>\d+|\*))/(?:\*|(?P<total>\d+))")
# Bytes of which the chunks of a resumable upload must be multiples, except the last.
_QUANTUM = 1 << 18
# Bytes of the JSON in an upload with two parts.
_MOST_METADATA = 1 << 20
_OF_HASH = {"crc32c": "crc32c", "md5": "md5Hash"}


def insert(request: Request, store: Store) -> Any:
    """Create an object from a request's body, or start a resumable upload."""
    kind = request.query.get("uploadType", "media")
    with store.change():
        bucket = buckets.find(store, request.bucket)
    plain = request.headers.get("Content-Type", "")
    if kind == "resumable":
        return _start(request, store)
    if kind == "media":
        metadata: Mapping[str, Any] = {}
        body = store.save(memoryview(request.body), request.spool)
    elif kind == "multipart":
        metadata, content, plain = _parts(request.body, plain)
        body = store.save(content)
    else:
        raise Refusal(400, f"uploadType must be media, multipart or resumable, not {kind!r}", "invalid")
    row = keep(request, store, {**_content_type(plain), **metadata, **_of_query(request)}, body)
    return objects.answer(request, bucket, row, full="acl" in metadata)


def keep(request: Request, store: Store, metadata: Mapping[str, Any], body: str, name: str = "") -> Row:
    """Create an object from metadata and a body, after its hashes were compared with the declared ones."""
    sums = store.measure(body)
    name = name or request.query.get("name") or str(metadata.get("name") or "")
    with store.change():
        compare(metadata, sums)
        compare(_declared(request), sums)
        bucket = buckets.find(store, request.bucket)
        whole = {**writable(metadata), **access.predefined(request, bucket), **keys.given(request), **sums}
        return objects.publish(store, bucket, name, whole, body, request.conditions)


def _start(request: Request, store: Store) -> Answer:
    asked = request.json()
    name = request.query.get("name") or str(asked.get("name") or "")
    kind = request.headers.get("X-Upload-Content-Type", "")
    upload = begin(request, store, name, {**_content_type(kind), **asked, **_of_query(request)})
    address = f"{request.base_url}/upload/storage/v1/b/{request.params['bucket']}/o"
    query = urlencode({"uploadType": "resumable", "upload_id": upload.name})
    return Answer(headers={"Location": f"{address}?{query}", "X-GUploader-UploadID": upload.name})


def begin(request: Request, store: Store, name: str, metadata: Mapping[str, Any]) -> Row:
    """Start a resumable upload. Its preconditions are checked at its end, as in the cloud."""
    with store.change():
        bucket = buckets.find(store, request.bucket)
        said = {**metadata, **access.predefined(request, bucket), **keys.given(request)}
        query = {field: request.query[field] for field in ("fields", "projection") if field in request.query}
        state = {"name": name, "said": said, "conditions": request.conditions, "length": _length(request)}
        upload = Row("upload", bucket.name, uuid.uuid4().hex, {**state, "query": query}, store.generation())
        return store.put(upload)


def _length(request: Request) -> int | None:
    """The size that the start of a resumable upload declares."""
    text = request.headers.get("X-Upload-Content-Length")
    if text is not None and not text.isdecimal():
        raise Refusal(400, f"X-Upload-Content-Length must be a whole number, not {text!r}", "invalid")
    return int(text) if text is not None else None


def resume(request: Request, store: Store) -> Any:
    """Store the next bytes of a resumable upload, report its progress, or cancel it."""
    with store.change():
        upload = find(request, store)
        if "made" in upload.data:  # the response was lost, and the client retries
            return _made(request, store, upload)
        if request.method == "DELETE":
            store.delete(upload)
            return Answer.refusal(499, "The upload is cancelled")
        total = _receive(request, store, upload)
        store.put(upload)
    received = store.size(upload.body)
    if total is None or received < total:
        return _progress(request, received)
    body, metadata = upload.body or store.save(b""), upload.data["said"]
    sums = store.measure(body)
    with store.change():
        if "made" in find(request, store).data:  # the same request was sent twice
            return _made(request, store, find(request, store))
        compare(metadata, sums)
        compare(_declared(request), sums)
        bucket = buckets.find(store, request.bucket)
        whole = {
            **writable(metadata),
            **({"customerEncryption": key} if (key := metadata.get("customerEncryption")) else {}),
        }
        row = objects.publish(store, bucket, upload.data["name"], {**whole, **sums}, body, upload.data["conditions"])
        upload.body, upload.data = "", {"name": row.name, "made": row.generation, "query": upload.data.get("query", {})}
        store.put(upload)
    return _answer(request, bucket, row, upload)


def _progress(request: Request, received: int) -> Answer:
    """The bytes that were received: with status 308, or where a client cannot take that, in a header of a 200."""
    headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
    if request.headers.get("X-GUploader-No-308", "").lower() == "yes":
        return Answer(headers={**headers, "X-Http-Status-Code-Override": "308"})
    return Answer(status=308, headers=headers)


def _made(request: Request, store: Store, upload: Row) -> Any:
    bucket = buckets.find(store, request.bucket)
    row = objects.find(store, bucket, upload.data["name"], upload.data["made"])
    return _answer(request, bucket, row, upload)


def _answer(request: Request, bucket: Row, row: Row, upload: Row) -> dict[str, Any]:
    """The resource in the form that the start of the upload asked for."""
    request.query = {**upload.data.get("query", {}), **request.query}
    return objects.answer(request, bucket, row)


def received_bytes(request: Request, store: Store) -> int:
    """Bytes that the server has of the resumable upload that a request continues; 0 for other requests."""
    if "upload_id" not in request.query:
        return 0
    with store.change():
        return store.size(find(request, store).body)


def find(request: Request, store: Store) -> Row:
    """The upload that a request names. Refuses with 404."""
    number = request.query.get("upload_id") or request.query.get("uploadId", "")
    if not (upload := store.get("upload", request.bucket, number)):
        raise Refusal(404, f"There is no upload {number!r} to the bucket {request.bucket}", "notFound", "NoSuchUpload")
    return upload


def _receive(request: Request, store: Store, upload: Row) -> int | None:
    """Store a request's bytes; returns the total size when it is known."""
    asked, size = request.headers.get("Content-Range", f"bytes 0-*/{len(request.body)}"), len(request.body)
    if not (match := _RANGE.fullmatch(asked)):
        raise Refusal(400, f"Content-Range must look like bytes 0-99/100, not {asked!r}", "invalid")
    first, last, total = match["first"], match["last"], match["total"]
    if first is None:
        return int(total) if total else None
    first = int(first)
    received = store.size(upload.body)
    if last != "*" and size != int(last) + 1 - first:
        raise Refusal(400, f"Content-Range is {asked}, but the body has {size} bytes", "invalid")
    if first > received:
        reason = f"The upload has {received} bytes so far; the next must start there, not at {first}"
        raise Refusal(400, reason, "invalid")
    if total is not None and first + size > int(total):
        raise Refusal(400, f"The body ends after byte {total}, which Content-Range says is the last", "invalid")
    end = int(total) if total is not None else first + size if last == "*" else None
    declared = upload.data.get("length")
    if end is not None and declared not in (None, end):
        raise Refusal(400, f"The upload has {end} bytes, but X-Upload-Content-Length was {declared}", "invalid")
    stop = size if first + size == end else (first + size) // _QUANTUM * _QUANTUM - first
    fresh = memoryview(request.body)[received - first : max(stop, 0)]  # bytes that were sent again are skipped
    if not fresh and first + size > received:
        reason = f"A chunk that is not the last must have a multiple of {_QUANTUM} bytes, not {size}"
        raise Refusal(400, reason, "invalid")
    if fresh:
        if upload.body:
            store.append(upload.body, fresh)
        else:
            upload.body = store.save(fresh, request.spool if len(fresh) == size else None, grows=True)
    return end


def _parts(body: Any, content_type: str) -> tuple[Mapping[str, Any], memoryview, str]:
    """The JSON, the bytes and the content type of a multipart upload. Parsed as bytes, because images are binary."""
    header = Message()
    header["Content-Type"] = content_type
    mark = b"--" + (header.get_boundary() or "").strip("'").encode()  # gcloud puts single quotes around it
    first = body.find(mark) + len(mark)
    eol = b"\r\n" if body[first : first + 2] == b"\r\n" else b"\n"
    second = body.find(eol + mark, first)
    start, end = body.find(eol * 2, second), body.rfind(eol + mark)  # rfind reads little of a large body
    if not len(mark) <= first < second < start < end:
        raise Refusal(400, "An upload must have two parts: the object's JSON and its bytes", "invalid")
    kind = BytesParser().parsebytes(body[second + len(eol + mark) + len(eol) : start])["Content-Type"]
    if second - first > _MOST_METADATA:
        raise Refusal(400, f"Metadata part is too large: it has more than {_MOST_METADATA} bytes", "invalid")
    described = bytes(body[first:second]).partition(eol * 2)[2]
    return json_object(described), memoryview(body)[start + 2 * len(eol) : end], kind or ""


def _of_query(request: Request) -> dict[str, Any]:
    """An object's metadata from the query."""
    given = {field: request.query[field] for field in ("contentEncoding", "kmsKeyName") if request.query.get(field)}
    return given


def _content_type(given: str) -> dict[str, str]:
    """The field for a content type; without one the object has none."""
    return {"contentType": given} if given else {}


def _declared(request: Request) -> dict[str, str]:
    """The hashes that an X-Goog-Hash header declares: `crc32c=...,md5=...`."""
    header = request.headers.get("X-Goog-Hash", "").replace(" ", "")
    pairs = [each.partition("=") for each in header.split(",")]
    return {_OF_HASH[kind]: value for kind, _, value in pairs if kind in _OF_HASH}


def compare(declared: Mapping[str, Any], sums: Mapping[str, str]) -> None:
    """Refuse bytes whose hashes are not the declared ones."""
    for field in _OF_HASH.values():
        if declared.get(field) not in (None, sums[field]):
            reason = f"The {field.removesuffix('Hash').upper()} of the bytes is {sums[field]}, not {declared[field]}"
            raise Refusal(400, reason, "invalid")
