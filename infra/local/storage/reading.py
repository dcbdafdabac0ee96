"""Downloads, whole, in ranges and unzipped, and listings in pages."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterable
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest, NotFound

from infra.local.storage.answer import Answer
from infra.local.storage.requests import StorageRequest
from infra.local.storage.store import ObjectStore

_RANGE = re.compile(r"\s*bytes=(\d*)-(\d*)\s*")
_MOST = 1000
_TOLD = {
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
    "etag": "ETag",
    "generation": "X-Goog-Generation",
    "metageneration": "X-Goog-Metageneration",
    "storageClass": "X-Goog-Storage-Class",
}


def download(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Answer with an object's bytes, or with those that a Range header names (RFC 9110)."""
    bucket, name = request.params["bucket_name"], request.params["object_id"]
    if (there := store.current(bucket, name)) is None:
        answer.status = 404
        return
    content = store.get_file(bucket, name)
    for field, header in _TOLD.items():
        if there.get(field):
            answer[header] = str(there[field])
    for key, value in (there.get("metadata") or {}).items():
        answer[f"X-Goog-Meta-{key}"] = str(value).encode().decode("latin-1")
    answer["X-Goog-Stored-Content-Length"] = str(len(content))
    answer["X-Goog-Hash"] = ",".join(
        f"{kind}={there[field]}" for kind, field in (("crc32c", "crc32c"), ("md5", "md5Hash")) if there.get(field)
    )
    for wish in request.query.get("response-content-disposition", ()):
        answer["Content-Disposition"] = wish
    if there.get("contentEncoding") == "gzip" and "gzip" not in request.get_header("Accept-Encoding", ""):
        content = gzip.decompress(content)
    else:
        if encoding := there.get("contentEncoding"):
            answer["Content-Encoding"] = encoding
        content = _ranged(request.get_header("Range", ""), content, answer)
    if answer.status < 400:
        answer.write_file(content, there.get("contentType"))


def list_objects(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Answer with a page of a bucket's objects and, with a delimiter, its folders."""
    query = request.query
    given = {name: query[name][0] for name in query}
    prefix, delimiter = given.get("prefix"), given.get("delimiter")
    try:
        found, folders = store.get_file_list(
            request.params["bucket_name"],
            prefix,
            delimiter,
            given.get("matchGlob"),
            soft_deleted=given.get("softDeleted") == "true",
        )
    except NotFound:
        answer.status = 404
        return
    entries: list[tuple[str, Any]] = [(each["name"], each) for each in found]
    if delimiter and given.get("includeTrailingDelimiter") == "true":
        entries += [(name, there) for name in folders if (there := store.current(request.params["bucket_name"], name))]
    entries += [(name, None) for name in folders]
    low, high = given.get("startOffset", ""), given.get("endOffset", "")
    entries = [entry for entry in entries if entry[0] >= low and (not high or entry[0] < high)]
    page, token = _page(entries, given)
    answer.json(
        {
            "kind": "storage#objects",
            "items": [each for _, each in page if each is not None],
            "prefixes": [name for name, each in page if each is None],
            **token,
        }
    )


def list_buckets(request: StorageRequest, answer: Answer, store: ObjectStore) -> None:
    """Answer with a page of the buckets."""
    given = {name: value[0] for name, value in request.query.items()}
    found = [entry for entry in store.buckets.items() if entry[0].startswith(given.get("prefix", ""))]
    page, token = _page(found, given)
    answer.json({"kind": "storage#buckets", "items": [each for _, each in page], **token})


def _page(entries: Iterable[tuple[str, Any]], given: dict[str, str]) -> tuple[list[tuple[str, Any]], dict[str, str]]:
    """The entries of one page in the order of their names, and the token of the next."""
    try:
        most = min(int(given.get("maxResults", _MOST)), _MOST) or _MOST
        after = base64.urlsafe_b64decode(given.get("pageToken", "")).decode()
    except ValueError as exc:
        raise BadRequest("maxResults must be a number, and pageToken one that a listing gave") from exc
    if most < 0:
        raise BadRequest("maxResults must not be negative")
    # By bytes in UTF-8, which is also the order of code points.
    rest = sorted((entry for entry in entries if entry[0] > after or not after), key=lambda entry: entry[0])
    more = {"nextPageToken": base64.urlsafe_b64encode(rest[most - 1][0].encode()).decode()} if len(rest) > most else {}
    return rest[:most], more


def _ranged(asked: str, content: bytes, answer: Answer) -> bytes:
    match = _RANGE.fullmatch(asked)
    if not match or match.group(1, 2) == ("", ""):
        return content
    size = len(content)
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        answer.refuse(416, f"The range {asked} is not within the {size} bytes of the object")
        answer["Content-Range"] = f"bytes */{size}"
        return b""
    answer.status = 206
    answer["Content-Range"] = f"bytes {first}-{last}/{size}"
    return content[first : last + 1]
