"""Listings of the XML API: objects of a bucket, multipart uploads, and parts of one."""

from __future__ import annotations

import base64
from typing import Any

from infra.local.storage import buckets, listing, uploads
from infra.local.storage.answer import Answer
from infra.local.storage.request import Request
from infra.local.storage.store import Row, Store
from infra.local.storage.xml import document, element

# Larger than every generation, so that a page begins after all versions of its marker.
_AFTER_ALL = 1 << 62
_MOST = 1000


def objects(request: Request, store: Store) -> Answer:
    """A page of a bucket's objects, of both versions of the listing (`list-type=2`)."""
    query, second = request.query, request.query.get("list-type") == "2"
    after = query.get("start-after" if second else "marker", "")
    token = base64.urlsafe_b64encode(f"{_AFTER_ALL}/{after}".encode()).decode() if after else ""
    request.query = {name: query[name] for name in ("prefix", "delimiter") if name in query}
    request.query |= {"maxResults": query.get("max-keys", ""), "pageToken": query.get("continuation-token") or token}
    found = listing.ls(request, store)
    listed = [_object(each) for each in found["items"]]
    listed += [element("CommonPrefixes", Prefix=folder) for folder in found["prefixes"]]
    fields = {name: query.get(name.lower(), "") for name in ("Prefix", "Delimiter")}
    more = found.get("nextPageToken", "")
    if second:
        fields |= {"KeyCount": str(len(listed)), **({"NextContinuationToken": more} if more else {})}
    elif more:
        fields["NextMarker"] = max([each["name"] for each in found["items"]] + found["prefixes"])
    truncated = "true" if more else "false"
    return document("ListBucketResult", listed, Name=request.bucket, **fields, IsTruncated=truncated)


def _object(each: dict[str, Any]) -> Any:
    return element(
        "Contents",
        Key=each["name"],
        Generation=each["generation"],
        MetaGeneration=each["metageneration"],
        LastModified=each["updated"],
        ETag=f'"{each["etag"]}"',
        Size=each["size"],
    )


def multipart_uploads(request: Request, store: Store) -> Answer:
    """The unfinished multipart uploads to a bucket."""
    bucket, prefix = buckets.find(store, request.bucket), request.query.get("prefix", "")
    most = min(request.number("max-uploads", _MOST), _MOST)
    after = request.query.get("key-marker", ""), request.query.get("upload-id-marker", "")
    rows = [row for row in store.rows("upload", bucket.name) if row.data.get("multipart")]
    wanted = sorted(rows, key=_key)
    wanted = [row for row in wanted if row.data["name"].startswith(prefix) and _is_after(row, *after)]
    listed = [
        element("Upload", Key=row.data["name"], UploadId=row.name, StorageClass="STANDARD", Initiated=row.data["began"])
        for row in wanted[:most]
    ]
    truncated = len(wanted) > most
    last = wanted[most - 1] if truncated and most else None
    markers = {"NextKeyMarker": last.data["name"], "NextUploadIdMarker": last.name} if last else {}
    fields = {"Bucket": bucket.name, "Prefix": prefix, **markers, "MaxUploads": str(most)}
    return document("ListMultipartUploadsResult", listed, **fields, IsTruncated="true" if truncated else "false")


def _key(row: Row) -> tuple[str, str]:
    return row.data["name"], row.name


def _is_after(row: Row, key: str, upload: str) -> bool:
    return _key(row) > (key, upload) if upload else not key or row.data["name"] > key


def parts(request: Request, store: Store) -> Answer:
    """The parts that a multipart upload has so far."""
    upload = uploads.find(request, store)
    most, after = min(request.number("max-parts", _MOST), _MOST), request.number("part-number-marker")
    wanted = [row for row in store.rows("part", upload.name) if int(row.name) > after]
    listed = [
        element(
            "Part",
            PartNumber=str(int(row.name)),
            LastModified=row.data["updated"],
            ETag=f'"{row.data["etag"]}"',
            Size=row.data["size"],
        )
        for row in wanted[:most]
    ]
    truncated = len(wanted) > most
    fields = {
        "Bucket": request.bucket,
        "Key": upload.data["name"],
        "UploadId": upload.name,
        "StorageClass": "STANDARD",
        "PartNumberMarker": str(after),
        **({"NextPartNumberMarker": str(int(wanted[most - 1].name))} if truncated and most else {}),
        "MaxParts": str(most),
    }
    return document("ListPartsResult", listed, **fields, IsTruncated="true" if truncated else "false")
