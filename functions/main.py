"""The targets of functions-framework, and the adapter from Flask to the HTTP entry points.

`serve` routes by path, and Cloud Run runs it. `on_request`, `on_upload` and `predict` are targets of 2nd-gen functions.
All are plain HTTP functions: the framework's own conversion of events drops what retries need (docs/decisions.md).
"""

from __future__ import annotations

import flask
import functions_framework

from functions.entrypoints import flask_setup, push
from functions.entrypoints import predict as predicts
from functions.entrypoints.http import HttpReply, HttpRequest
from functions.entrypoints.request_body import RequestBody
from functions.entrypoints.routes import route

if flask.has_app_context():  # functions-framework imports this module for one application
    flask_setup.set_up(flask.current_app)


@functions_framework.http
def serve(request: flask.Request) -> flask.Response:
    """Every path of the worker."""
    return _response(route(_request(request)))


@functions_framework.http
def on_request(request: flask.Request) -> flask.Response:
    """A message on the request topic, pushed or as a CloudEvent."""
    return _response(push.receive(_request(request)))


@functions_framework.http
def on_upload(request: flask.Request) -> flask.Response:
    """An object finished in the upload bucket, as a notification or as a CloudEvent."""
    return _response(push.receive(_request(request)))


@functions_framework.http
def predict(request: flask.Request) -> flask.Response:
    """An image whose response is the reply."""
    return _response(predicts.predict(_request(request)))


def _request(request: flask.Request) -> HttpRequest:
    environ = request.environ
    body = RequestBody(
        stream=environ["wsgi.input"],
        length=request.content_length,
        is_terminated=bool(environ.get("wsgi.input_terminated")),
        socket=environ.get("gunicorn.socket"),
    )
    query = tuple(request.args.items(multi=True))
    root = f"{request.scheme}://{request.host}/" if request.host else ""
    return HttpRequest(request.method, request.path, request.headers, body, query, root)


def _response(reply: HttpReply) -> flask.Response:
    return flask.Response(reply.body, reply.status, dict(reply.headers))
