"""Uploads through the XML API: complete, or in parts that arrive in any order and concurrently."""

from __future__ import annotations

import uuid
from email.message import Message
from typing import Any
from xml.etree import ElementTree  # nosec B405  # expat has refused entity bombs since 2.4.1, and loads no external entities

from infra.local.storage import buckets, keys, objects, uploads
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.request import Request
from infra.local.storage.resources import hash_header, now, writable
from infra.local.storage.store import Row, Store
from infra.local.storage.xml import document

_META = "x-goog-meta-"
_FIELDS = {
    "Content-Type": "contentType",
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
    "x-goog-storage-class": "storageClass",
    "x-goog-custom-time": "customTime",
    "x-goog-encryption-kms-key-name": "kmsKeyName",
}


def put(request: Request, store: Store) -> Answer:
    """Create an object from a request's body."""
    body = store.save(memoryview(request.body), request.spool)
    row = uploads.keep(request, store, metadata_of(request.headers), body, request.object)
    headers = {"X-Goog-Generation": str(row.generation), "X-Goog-Hash": hash_header(row.data)}
    return Answer(headers={"ETag": f'"{row.etag}"', **headers})


def start_resumable(request: Request, store: Store) -> Answer:
    """Start a resumable upload, as a signed URL for POST does."""
    upload = uploads.begin(request, store, request.object, metadata_of(request.headers))
    location = f"{request.base_url}{request.raw_path}?upload_id={upload.name}"
    return Answer(status=201, headers={"Location": location, "X-GUploader-UploadID": upload.name})


def resume(request: Request, store: Store) -> Answer:
    """Store the next bytes of a resumable upload, report its progress, or cancel it."""
    made = uploads.resume(request, store)
    if isinstance(made, Answer):
        return made
    headers = {"X-Goog-Generation": made["generation"], "X-Goog-Hash": hash_header(made)}
    return Answer(headers={"ETag": f'"{made["etag"]}"', **headers, "X-Goog-Stored-Content-Length": made["size"]})


def start(request: Request, store: Store) -> Answer:
    """Start a multipart upload."""
    buckets.find(store, request.bucket)
    metadata = {**metadata_of(request.headers), **keys.given(request)}
    data = {"name": request.object, "said": metadata, "multipart": True, "began": now()}
    upload = Row("upload", request.bucket, uuid.uuid4().hex, data, store.generation())
    store.put(upload)
    return document("InitiateMultipartUploadResult", Bucket=request.bucket, Key=request.object, UploadId=upload.name)


def put_part(request: Request, store: Store) -> Answer:
    """Store a part; it replaces one with the same number."""
    number = request.number("partNumber")
    if not 1 <= number <= 10_000:
        raise Refusal(400, f"partNumber must be from 1 to 10000, not {number}", "invalid")
    body = store.save(memoryview(request.body), request.spool)
    sums = store.measure(body)
    etag = sums["md5Hash"]
    with store.change():
        upload = uploads.find(request, store)
        if before := store.get("part", upload.name, f"{number:05}"):
            store.delete(before)
        data = {"etag": etag, "size": sums["size"], "updated": now()}
        store.put(Row("part", upload.name, f"{number:05}", data, upload.generation, body=body))
    return Answer(headers={"ETag": f'"{etag}"', "X-Goog-Hash": hash_header(sums)})


def finish(request: Request, store: Store) -> Answer:
    """Create an object from the parts that the request lists."""
    upload = uploads.find(request, store)
    there = {int(part.name): part for part in store.rows("part", upload.name)}
    bodies = []
    for number, etag in _listed(bytes(request.body)):
        if number not in there or there[number].data["etag"] != etag:
            raise Refusal(
                400, f"Part {number} was not uploaded, or not with the ETag {etag!r}", "invalid", "InvalidPart"
            )
        bodies.append(there[number].body)
    body, metadata = store.join(bodies), upload.data["said"]
    sums = store.measure(body)
    del sums["md5Hash"]  # as in the cloud
    key = {"customerEncryption": metadata["customerEncryption"]} if "customerEncryption" in metadata else {}
    bucket = buckets.find(store, request.bucket)
    row = objects.publish(
        store, bucket, upload.data["name"], {**writable(metadata), **key, **sums}, body, request.conditions
    )
    abort(request, store)
    return document("CompleteMultipartUploadResult", Bucket=row.parent, Key=row.name, ETag=f'"{row.etag}"')


def abort(request: Request, store: Store) -> None:
    """Cancel an upload and delete its parts."""
    upload = uploads.find(request, store)
    for row in [upload, *store.rows("part", upload.name)]:
        store.delete(row)


def delete(request: Request, store: Store) -> None:
    """Delete an object."""
    objects.delete(request, store)


def metadata_of(headers: Message) -> dict[str, Any]:
    """An object's metadata from the headers of a request."""
    metadata: dict[str, Any] = {field: headers[header] for header, field in _FIELDS.items() if header in headers}
    meta = {name[len(_META) :]: value for name, value in headers.items() if name.lower().startswith(_META)}
    return {**metadata, **({"metadata": meta} if meta else {})}


def _listed(body: bytes) -> list[tuple[int, str]]:
    try:
        parts = [
            (int(part.findtext("{*}PartNumber") or ""), (part.findtext("{*}ETag") or "").strip('"'))
            for part in ElementTree.fromstring(body).iter()  # nosec B314  # as above
            if part.tag.rpartition("}")[2] == "Part"
        ]
    except (ElementTree.ParseError, ValueError) as exc:
        raise Refusal(400, "The body must be XML that lists parts with PartNumber and ETag", "invalid") from exc
    if not parts or parts != sorted(parts):
        raise Refusal(
            400, "The parts must be listed in the order of their numbers, at least one", "invalid", "InvalidPartOrder"
        )
    return parts
