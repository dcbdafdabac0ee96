"""Routes: maps the addresses of the JSON API and the XML API to handlers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from infra.local.storage import (
    access,
    addresses,
    buckets,
    configs,
    copies,
    cors,
    downloads,
    forms,
    listing,
    multipart,
    objects,
    uploads,
    xml_listings,
)
from infra.local.storage.answer import Answer
from infra.local.storage.request import Request
from infra.local.storage.store import Store

Handler = Callable[[Request, Store], Any]

_B, _O, _LIST = (
    r"/b/(?P<bucket>[^/]+)",
    r"/o/(?P<object>[^/]+)",
    r"/(?P<list>acl|defaultObjectAcl)(?:/(?P<entity>[^/]+))?",
)


def _bucket_list(request: Request, store: Store) -> Any:
    bucket = buckets.find(store, request.bucket)
    return access.entries(request, store, bucket, bucket)


def _object_list(request: Request, store: Store) -> Any:
    return access.entries(request, store, *objects.named(request, store))


def _policy(request: Request, store: Store) -> Any:
    return access.policy(request, store, buckets.find(store, request.bucket))


def _layout(request: Request, store: Store) -> Any:
    bucket = buckets.find(store, request.bucket)
    settings = {
        name: bucket.data[name] for name in ("location", "locationType", "hierarchicalNamespace") if name in bucket.data
    }
    return {"kind": "storage#storageLayout", "bucket": bucket.name, **settings}


_ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/b", buckets.ls),
    ("POST", "/b", buckets.create),
    ("GET", _B, buckets.get),
    ("PATCH PUT", _B, buckets.patch),
    ("DELETE", _B, buckets.delete),
    ("POST", f"{_B}/lockRetentionPolicy", buckets.lock),
    ("POST", f"{_B}/restore", buckets.restore),
    ("GET", f"{_B}/storageLayout", _layout),
    ("GET", f"{_B}/(?:managedFolders|folders)", lambda request, store: {}),  # there are none
    ("GET PUT", f"{_B}/iam", _policy),
    ("GET", rf"{_B}(?:{_O})?/iam/testPermissions", access.permissions),
    ("GET POST PUT PATCH DELETE", _B + _LIST, _bucket_list),
    ("GET", f"{_B}/notificationConfigs", configs.ls),
    ("POST", f"{_B}/notificationConfigs", configs.create),
    ("GET DELETE", f"{_B}/notificationConfigs/(?P<number>[^/]+)", configs.one),
    ("GET", f"{_B}/o", listing.ls),
    ("GET POST PUT PATCH DELETE", _B + _O + _LIST, _object_list),
    ("POST", f"{_B}{_O}/restore", objects.restore),
    ("POST PUT", f"{_B}{_O}/compose", copies.compose),
    ("POST", f"{_B}{_O}/copyTo/b/(?P<to_bucket>[^/]+)/o/(?P<to>[^/]+)", copies.copy),
    ("POST", f"{_B}{_O}/rewriteTo/b/(?P<to_bucket>[^/]+)/o/(?P<to>[^/]+)", copies.rewrite),
    ("POST", f"{_B}{_O}/moveTo/o/(?P<to>[^/]+)", copies.move),
    ("GET", f"{_B}/o/(?P<object>.+)", objects.get),
    ("PATCH PUT", f"{_B}/o/(?P<object>.+)", objects.patch),
    ("DELETE", f"{_B}/o/(?P<object>.+)", objects.delete),
    ("GET", "/projects/(?P<project>[^/]+)/serviceAccount", access.service_account),
    ("GET", "/projects/(?P<project>[^/]+)/hmacKeys", access.list_keys),
    ("POST", "/projects/(?P<project>[^/]+)/hmacKeys", access.make_key),
    ("GET PUT DELETE", r"/projects/(?P<project>[^/]+)/hmacKeys/(?P<key>\w+)", access.one_key),
]
_COMPILED = [(set(methods.split()), re.compile(pattern), handler) for methods, pattern, handler in _ROUTES]
_UPLOAD = re.compile(f"{_B}/o")
_XML = re.compile("/(?P<bucket>[^/]+)/(?P<object>.+)")
_XML_BUCKET = re.compile("/(?P<bucket>[^/]+)/?")
# Handlers that take the lock themselves, so that receiving a body does not block other requests.
UNLOCKED: frozenset[Handler] = frozenset(
    {
        cors.preflight,
        forms.upload,
        multipart.put,
        multipart.put_part,
        multipart.resume,
        multipart.start_resumable,
        uploads.insert,
        uploads.resume,
    }
)


def route(request: Request) -> Handler | None:
    """The handler of a request, whose `params` it sets; None when no route matches."""
    if request.method == "OPTIONS":
        return cors.preflight
    if not (match := addresses.JSON.fullmatch(request.path)):
        return None if request.path.startswith("/storage/v1/") else _xml(request)
    path = match["resource"]
    if (upload := _UPLOAD.fullmatch(path)) and request.method in ("POST", "PUT", "DELETE"):
        request.params = upload.groupdict()
        if "upload_id" in request.query:
            return uploads.resume
        return uploads.insert if request.method == "POST" else None
    for methods, pattern, handler in _COMPILED:
        if request.method in methods and (found := pattern.fullmatch(path)):
            request.params = found.groupdict()
            media = handler is objects.get and (match["media"] or request.query.get("alt") == "media")
            return downloads.download if media else handler
    return None


class Refusing(Protocol):
    """Makes the response for an error."""

    def __call__(self, status: int, message: str, reason: str = "", code: str = "") -> Answer:
        """`reason`, `code`: what the JSON and the XML API name the error."""


def refusals(request: Request) -> Refusing:
    """What makes the errors in the format of the API that a request calls."""
    if not addresses.is_json(request.path):
        return Answer.xml_refusal
    return Answer.text_refusal if request.query.get("alt") == "media" else Answer.refusal


def _xml(request: Request) -> Handler | None:
    if not (match := _XML.fullmatch(request.path)):
        return _xml_bucket(request)
    request.params = match.groupdict()
    if "upload_id" in request.query:
        return multipart.resume if request.method in ("PUT", "POST", "DELETE") else None
    if "uploadId" in request.query:
        named: dict[str, Handler] = {
            "GET": xml_listings.parts,
            "PUT": multipart.put_part,
            "POST": multipart.finish,
            "DELETE": multipart.abort,
        }
        return named.get(request.method)
    if request.method == "POST":
        if request.headers.get("x-goog-resumable", "").lower() == "start":
            return multipart.start_resumable
        return multipart.start if "uploads" in request.query else None
    simple: dict[str, Handler] = {"PUT": multipart.put, "DELETE": objects.delete}
    return downloads.download if request.method in ("GET", "HEAD") else simple.get(request.method)


def _xml_bucket(request: Request) -> Handler | None:
    if not (match := _XML_BUCKET.fullmatch(request.path)):
        return None
    request.params = match.groupdict()
    if request.method == "POST":
        return forms.upload if request.headers.get_content_type() == "multipart/form-data" else None
    if request.method != "GET":
        return None
    return xml_listings.multipart_uploads if "uploads" in request.query else xml_listings.objects
