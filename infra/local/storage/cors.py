"""Cross-origin requests of browsers: preflights, and the headers by which a browser shows a response to a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.storage import addresses
from infra.local.storage.answer import Answer
from infra.local.storage.request import Request
from infra.local.storage.store import Store

_METHODS = "DELETE, GET, HEAD, PATCH, POST, PUT"
_EXPOSED = (
    "Content-Length, Content-Range, Content-Type, ETag, Last-Modified, Location, Range, X-Goog-Generation, "
    "X-Goog-Hash, X-Goog-Metageneration, X-GUploader-UploadID, X-Http-Status-Code-Override"
)
# Seconds that a browser remembers a preflight of the JSON API.
_REMEMBERED_S = 3600


def preflight(request: Request, store: Store) -> Answer:
    """Answer OPTIONS: which methods and headers a page may use. The JSON API allows all, the XML API what CORS says."""
    origin, method = request.headers.get("Origin", ""), request.headers.get("Access-Control-Request-Method", "")
    asked = request.headers.get("Access-Control-Request-Headers", "")
    if not origin or not method:
        return Answer()
    if addresses.is_json(request.path):
        return _allowing(origin, _METHODS, asked, _REMEMBERED_S)
    if not (rule := _rule(request, store, method)):
        return Answer()
    known = {each.lower() for each in rule.get("responseHeader") or ()}
    headers = [each.strip() for each in asked.split(",") if {each.strip().lower(), "*"} & known]
    return _allowing(origin, ", ".join(rule["method"]), ", ".join(headers), rule.get("maxAgeSeconds", 0))


def headers(request: Request, store: Store) -> dict[str, str]:
    """The headers that show a response to the page that asked."""
    origin = request.headers["Origin"]
    if addresses.is_json(request.path):
        exposed = _EXPOSED
    elif rule := _rule(request, store, request.method):
        exposed = ", ".join(rule.get("responseHeader") or ())
    else:
        return {}
    shown = {"Access-Control-Expose-Headers": exposed} if exposed else {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **shown}


def _allowing(origin: str, methods: str, asked: str, remembered_s: int) -> Answer:
    allowed = {"Access-Control-Allow-Headers": asked} if asked else {}
    return Answer(
        headers={
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": methods,
            **allowed,
            "Access-Control-Max-Age": str(remembered_s),
            "Vary": "Origin",
        }
    )


def _rule(request: Request, store: Store, method: str) -> Mapping[str, Any] | None:
    """The first CORS rule of the bucket that allows the origin and the method."""
    with store.change():
        bucket = store.get("bucket", "", request.path.split("/")[1])
    rules: Iterable[Mapping[str, Any]] = (bucket.data.get("cors") or ()) if bucket else ()
    for rule in rules:
        if {request.headers["Origin"], "*"} & set(rule.get("origin") or ()) and (
            {method, "*"} & set(rule.get("method") or ())
        ):
            return rule
    return None
