"""Downloads: an object's bytes, complete, in ranges, or decompressed."""

from __future__ import annotations

import functools
import gzip
import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus

from infra.local.storage import keys, objects
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.request import Request
from infra.local.storage.resources import hash_header
from infra.local.storage.store import Store

_RANGE = re.compile(r"\s*bytes=(\d*)-(\d*)\s*")

# Bytes of a response that are read into memory; more are sent from the file.
_SMALL = 1 << 18

# Metadata that is sent as headers.
_HEADERS = {
    "contentType": "Content-Type",
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
    "metageneration": "X-Goog-Metageneration",
    "storageClass": "X-Goog-Storage-Class",
    "timeDeleted": "X-Goog-Time-Deleted",
}


def download(request: Request, store: Store) -> Answer:
    """Answer with an object's bytes, or with those of a Range header (RFC 9110)."""
    _, row = objects.named(request, store)
    keys.check(row, request)
    there, size, encoding = row.data, int(row.data["size"]), row.data.get("contentEncoding")
    _check_since(request, there["updated"])
    answer = Answer(headers={header: str(there[field]) for field, header in _HEADERS.items() if there.get(field)})
    for key, value in (there.get("metadata") or {}).items():
        answer.headers[f"X-Goog-Meta-{key}"] = str(value)
    answer.headers |= {
        "ETag": row.etag,
        "Last-Modified": _http_date(there["updated"]),
        "X-Goog-Generation": str(row.generation),
        "X-Goog-Hash": hash_header(there),
        "X-Goog-Stored-Content-Encoding": encoding or "identity",
        "X-Goog-Stored-Content-Length": str(size),
        "Accept-Ranges": "bytes",
    }
    answer.headers.setdefault("Content-Type", "application/octet-stream")
    if disposition := request.query.get("response-content-disposition"):
        answer.headers["Content-Disposition"] = disposition
    with store.open(row.body) as file:
        if encoding == "gzip" and "gzip" not in request.headers.get("Accept-Encoding", ""):
            answer.content = gzip.decompress(file.read())
            return answer
        if encoding:
            answer.headers["Content-Encoding"] = encoding
        _choose(answer, request.headers.get("Range", ""), size)
        if answer.length <= _SMALL:
            file.seek(answer.first)
            answer.content = file.read(answer.length)
        else:
            answer.file = store.open(row.body)
    return answer


def _check_since(request: Request, time: str) -> None:
    """Refuse by If-Modified-Since (304) and If-Unmodified-Since (412). A date that cannot be read is ignored."""
    for header, status in (("If-Modified-Since", 304), ("If-Unmodified-Since", 412)):
        if not (asked := request.headers.get(header)):
            continue
        try:
            since = parsedate_to_datetime(asked)
        except ValueError:
            continue
        changed = datetime.fromisoformat(time).replace(microsecond=0)
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        if (changed <= since) == (status == HTTPStatus.NOT_MODIFIED):
            raise Refusal(status, f"The object was last changed at {time}, which {header} excludes", "conditionNotMet")


@functools.lru_cache(maxsize=1024)
def _http_date(time: str) -> str:
    return format_datetime(datetime.fromisoformat(time), usegmt=True)


def _choose(answer: Answer, asked: str, size: int) -> None:
    """Select the bytes of the response by the Range header `asked`."""
    answer.length = size
    match = _RANGE.fullmatch(asked)
    if not match or match.group(1, 2) == ("", ""):
        return
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        reason = f"The range {asked} is not within the {size} bytes of the object"
        raise Refusal(416, reason, "requestedRangeNotSatisfiable")
    answer.status, answer.first, answer.length = 206, first, last + 1 - first
    answer.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
