"""The worker's HTTP entry points in this process, around a handler, under each server, and a client for them."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jsonschema
import pytest
from functions_framework import create_app
from werkzeug.datastructures import EnvironHeaders
from werkzeug.test import Client

from functions import bootstrap
from functions.entrypoints.connections import SMALL_BYTES
from functions.entrypoints.http import HttpReply, HttpRequest
from functions.entrypoints.request_body import RequestBody
from functions.entrypoints.request_head import parse
from functions.entrypoints.routes import begin, route
from functions.messages.contract import Response, decode_response
from functions.service.handler import Handler
from tests.conftest import ROOT
from tests.fakes import forget_settings

SERVERS = ("functions-framework", "http_server")
"""What serves the entry points: the framework of Cloud Run functions, and the server of the Cloud Run service."""

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "infra" / "schemas" / "response.json").read_text()))


@contextmanager
def serving(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Applications that are made during the block use the handler. Images have at most 100,000 bytes."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("MAX_IMAGE_BYTES", "100000")
    monkeypatch.setenv("HTTP_ENDPOINT", "on")
    use(handler, monkeypatch)
    forget_settings()
    yield
    forget_settings()


def use(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the entry points of this process use a handler, which is built already."""
    made = cache(lambda *_: handler)
    made(None, None)
    monkeypatch.setattr(bootstrap, "_handler", made)


def http_client(server: str = SERVERS[0]) -> Client:
    """A client of new HTTP entry points under a server of SERVERS."""
    if server == "http_server":
        return Client(_serve)
    client: Client = create_app("serve", str(ROOT / "functions" / "main.py")).test_client()
    return client


def _serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer like http_server.py: from the bytes of the head on, and without a thread where that is possible."""
    query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
    sent = [f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI'].partition('?')[0]}{query} HTTP/1.1"]
    sent += [f"{name}: {value}" for name, value in EnvironHeaders(environ)]
    head = parse(bytearray("\r\n".join([*sent, "\r\n"]).encode("latin-1")))
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated") or (head.length or 0) > SMALL_BYTES:
        body = RequestBody(stream=stream, length=head.length or None, is_terminated=True)
    else:
        body = RequestBody(stream.read(head.length))
    request = HttpRequest(head.method, head.path, head, body, head.query, head.root)
    replies: queue.SimpleQueue[HttpReply] = queue.SimpleQueue()
    if body.stream or not begin(request, replies.put):
        replies.put(route(request))
    reply = replies.get(timeout=30)
    start_response(f"{reply.status} -", list(reply.headers.items()))
    return [reply.body]


def read(reply: Any) -> Response:
    """The answer, which fits its schema whatever went wrong."""
    SCHEMA.validate(json.loads(reply.get_data()))
    return decode_response(reply.get_data())
