"""REST: the unary methods of the gRPC services over HTTP and JSON, as gcloud calls them.

The routes are the API's `google.api.http` annotations, taken from Google's generated REST clients.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from google.api_core import exceptions
from google.protobuf import json_format
from google.pubsub_v1.services.publisher.transports.rest_base import _BasePublisherRestTransport
from google.pubsub_v1.services.schema_service.transports.rest_base import _BaseSchemaServiceRestTransport
from google.pubsub_v1.services.subscriber.transports.rest_base import _BaseSubscriberRestTransport

from infra.local.pubsub.refusal import Refusal, invalid
from infra.local.pubsub.wire import requests

_ANNOTATED = (_BasePublisherRestTransport, _BaseSubscriberRestTransport, _BaseSchemaServiceRestTransport)
_VARIABLE = re.compile(r"\{([a-z_.]+)=([^}]+)\}")
# Query parameters of every Google API, which are not part of the request.
_OF_EVERY_API = frozenset(
    {"$.xgafv", "$alt", "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser"}
)


@dataclass(frozen=True, slots=True)
class _Route:
    """A route to a method; `body`: the request's field that the HTTP body holds, * for all, empty for none."""

    verb: str
    path: re.Pattern[str]
    field: str
    body: str
    method: Any
    request: Any


class _Call:
    """The context of a call for methods; an HTTP request has no deadline."""

    def time_remaining(self) -> None:
        return None

    def peer(self) -> str:
        return ""


class Rest:
    """The services by their routes; `documents`: further paths, and the documents that a GET returns."""

    def __init__(self, services: Iterable[object], documents: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
        self._documents = documents
        routes = [route for service in services for route in _routes(service)]
        # A path with a verb (`:publish`) also matches another method's pattern, so such routes are tried first.
        self._routes = sorted(routes, key=lambda route: ":" not in route.path.pattern.rpartition(")")[2])

    async def answer(self, verb: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the document for one request."""
        url = urlsplit(target)
        if verb == "GET" and url.path in self._documents:
            return 200, self._documents[url.path]()
        for route in self._routes:
            if verb == route.verb and (match := route.path.fullmatch(url.path)):
                try:
                    request = _read(route, unquote(match[1]), url.query, body)
                    waits = inspect.iscoroutinefunction(route.method)
                    reply = await route.method(request, _Call()) if waits else route.method(request)
                except Refusal as refusal:
                    status = int(exceptions.from_grpc_status(refusal.code, "").code)
                    return failed(status, refusal.code.name, str(refusal))
                return 200, json_format.MessageToDict(reply)
        return failed(404, "NOT_FOUND", f"There is nothing at {verb} {url.path}")


def failed(code: int, status: str, message: str) -> tuple[int, dict[str, Any]]:
    """An error in the format of Google's APIs."""
    return code, {"error": {"code": code, "message": message, "status": status}}


def _routes(service: object) -> Iterator[_Route]:
    for name, request in requests(service).items():
        annotated = next(getattr(each, f"_Base{name}") for each in _ANNOTATED if hasattr(each, f"_Base{name}"))
        if not hasattr(annotated, "_get_http_options"):  # a stream
            continue
        for option in annotated._get_http_options():
            [(field, pattern)] = _VARIABLE.findall(option["uri"])
            before, after = (re.escape(part) for part in _VARIABLE.sub("\n", option["uri"]).split("\n"))
            path = re.compile(f"{before}({pattern.replace('*', '[^/]+')}){after}")
            body, method = option.get("body", ""), getattr(service, name)
            yield _Route(option["method"].upper(), path, field, body, method, request)


def _read(route: _Route, resource: str, query: str, body: bytes) -> Any:
    """Build the request from a path, a query and a body."""
    fields: dict[str, Any] = {}
    for key, value in parse_qsl(query):
        if key not in _OF_EVERY_API:
            *outer, last = key.split(".")
            functools.reduce(lambda inner, name: inner.setdefault(name, {}), outer, fields)[last] = value
    request = route.request()
    try:
        if route.body and body:
            content = json.loads(body)
            fields |= content if route.body == "*" else {route.body: content}
        json_format.ParseDict(fields, request)
    except (json_format.ParseError, ValueError, TypeError) as exc:
        raise invalid(f"Invalid JSON payload received. {' '.join(str(exc).split())}") from exc
    *outer, last = route.field.split(".")
    setattr(functools.reduce(getattr, outer, request), last, resource)
    return request
