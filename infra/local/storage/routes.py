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
_XML_BUCKET = re.compile("/(?P<bucket>[^/]*)/?")
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


_LISTS = {"GET": "get", "POST": "insert", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_API: dict[tuple[Handler, str], str] = {
    (buckets.ls, "GET"): "buckets.list",
    (buckets.create, "POST"): "buckets.insert",
    (buckets.get, "GET"): "buckets.get",
    (buckets.patch, "PATCH"): "buckets.patch",
    (buckets.patch, "PUT"): "buckets.update",
    (buckets.delete, "DELETE"): "buckets.delete",
    (buckets.lock, "POST"): "buckets.lockRetentionPolicy",
    (_policy, "GET"): "buckets.getIamPolicy",
    (_policy, "PUT"): "buckets.setIamPolicy",
    (access.permissions, "GET"): "buckets.testIamPermissions",
    (configs.ls, "GET"): "notifications.list",
    (configs.create, "POST"): "notifications.insert",
    (configs.one, "GET"): "notifications.get",
    (configs.one, "DELETE"): "notifications.delete",
    (listing.ls, "GET"): "objects.list",
    (objects.restore, "POST"): "objects.restore",
    (copies.compose, "POST"): "objects.compose",
    (copies.copy, "POST"): "objects.copy",
    (copies.rewrite, "POST"): "objects.rewrite",
    (copies.move, "POST"): "objects.move",
    (objects.get, "GET"): "objects.get",
    (downloads.download, "GET"): "objects.get",
    (objects.patch, "PATCH"): "objects.patch",
    (objects.patch, "PUT"): "objects.update",
    (objects.delete, "DELETE"): "objects.delete",
    (uploads.insert, "POST"): "objects.insert",
    (uploads.resume, "PUT"): "objects.insert",
    (uploads.resume, "POST"): "objects.insert",
    (multipart.put, "PUT"): "objects.insert",
    (access.service_account, "GET"): "serviceaccount.get",
    (access.list_keys, "GET"): "hmacKey.list",
    (access.make_key, "POST"): "hmacKey.create",
    (access.one_key, "GET"): "hmacKey.get",
    (access.one_key, "PUT"): "hmacKey.update",
    (access.one_key, "DELETE"): "hmacKey.delete",
}
_OF_LISTS = {
    f"{kind}.{verb}"
    for kind in ("bucket_acl", "default_object_acl", "object_acl")
    for verb in (*_LISTS.values(), "list")
}
# The API's methods by the names that retry tests have for them.
API_METHODS = frozenset(f"storage.{name}" for name in {*_API.values(), *_OF_LISTS})


def api_method(request: Request, handler: Handler) -> str:
    """The API's method that a request calls; empty where retry tests have no name for it."""
    if handler in (_bucket_list, _object_list):
        default = request.params["list"] == "defaultObjectAcl"
        kind = "object_acl" if handler is _object_list else "default_object_acl" if default else "bucket_acl"
        listing_all = request.method == "GET" and not request.params.get("entity")
        return f"storage.{kind}.{'list' if listing_all else _LISTS[request.method]}"
    name = _API.get((handler, request.method))
    return f"storage.{name}" if name else ""


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
    if request.method != "GET" or not request.params["bucket"]:
        return None
    return xml_listings.multipart_uploads if "uploads" in request.query else xml_listings.objects
