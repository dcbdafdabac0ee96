"""The HTTP entry point: POST an image to /predict, and the reply is its response. `?publish=true` publishes it too."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from functions import bootstrap
from functions.entrypoints.form import read_form
from functions.entrypoints.http import JSON, HttpReply, HttpRequest, text_reply
from functions.entrypoints.request_body import BodyTooLarge, read_body
from functions.errors import HTTP_STATUS, UNAVAILABLE, InvalidRequest
from functions.messages.contract import (
    OPTIONS,
    Envelope,
    Error,
    Ignored,
    Response,
    bounded_id,
    encode_response,
    encode_time,
)
from functions.messages.request_decoder import decode, distinct, read_flag
from functions.messages.trace_context import HEADER, TraceContext
from functions.runtime.payload_memory import Reserve
from functions.service.handler import AwaitedDelivery
from functions.settings import SettingsError
from model.labels import assigned
from model.text import printable_lines

FORM_BYTES = 10_000
"""Most bytes of a form around its file: the limit of the settings is on the file."""

_ID_HEADER = "X-Request-Id"
_HEADERS = {_ID_HEADER: "request_id", HEADER: HEADER}
"""The headers that state an option, and its name as a message attribute."""

_OPTIONS = (*OPTIONS, "request_id", "publish")
"""The options that the query and the form may state."""

_UNAVAILABLE = Error(UNAVAILABLE, "the request could not be answered now; try again")


def predict(request: HttpRequest) -> HttpReply:
    """The response to the image in the body, in a multipart form's field `file`, or behind a reference."""
    request_id, failure = request.headers.get(_ID_HEADER) or uuid.uuid4().hex, None
    try:
        with bootstrap.payload_budget().reservation() as reserve:
            envelope, is_published = _read(request, request_id, reserve)
            if is_published:
                return _published(request, envelope)
            response = _scored(envelope)
    except BodyTooLarge as exc:
        response = _error(request_id, Error("image_too_large", str(exc)))
    except InvalidRequest as exc:
        response = _error(request_id, Error("invalid_request", str(exc)))
    except Exception as exc:
        response, failure = _error(request_id, _UNAVAILABLE), exc
    trace = response.trace or TraceContext.parse(request.headers.get(HEADER) or "")
    bootstrap.request_log().answered(replace(response, trace=trace), failure)
    return _reply(request, response)


def predict_if_open(request: HttpRequest) -> HttpReply:
    """Like `predict`, if HTTP_ENDPOINT is on."""
    try:
        is_closed = bootstrap.settings().http_endpoint != "on"
    except SettingsError:
        is_closed = False  # then `predict` replies that the worker cannot serve
    if is_closed:
        bootstrap.request_log().refused("the HTTP endpoint is closed")
        return text_reply(404, "the HTTP endpoint of this worker is closed; HTTP_ENDPOINT=on opens it")
    return predict(request)


def _scored(envelope: Envelope) -> Response:
    pipeline, request = bootstrap.handler().pipeline, decode(envelope)
    assert not isinstance(request, Ignored), "only a notification is ignored"
    try:
        return pipeline.submit(request, waited=True).result()
    finally:
        pipeline.flush()


def _published(request: HttpRequest, envelope: Envelope) -> HttpReply:
    """Publish the response; the reply follows when the broker has it. The handler logs the outcome."""
    delivery = AwaitedDelivery(envelope)
    bootstrap.handler().handle(delivery)
    return _reply(request, delivery.response or _error(envelope.id, _UNAVAILABLE))


def _read(request: HttpRequest, request_id: str, reserve: Reserve) -> tuple[Envelope, bool]:
    """Return the request as a message, and whether its response is published too.

    A header takes precedence over an option in the query, and that over a field of the form.
    """
    limit = bootstrap.settings().max_image_bytes
    try:
        body = read_body(request.body, limit + FORM_BYTES, reserve)
    except BodyTooLarge:
        raise BodyTooLarge(limit) from None
    options = distinct((name, value) for name, value in request.query if name in _OPTIONS)
    options |= {name: value for header, name in _HEADERS.items() if (value := request.headers.get(header))}
    # Any other type is the image itself: curl calls it application/x-www-form-urlencoded.
    media_type, parameters = parse_options_header(request.headers.get("Content-Type"))
    if media_type.lower() == "multipart/form-data":
        form = read_form(body, parameters.get("boundary", ""), _OPTIONS)
        options = {**form.options, **options}
        if form.filename:
            options.setdefault("filename", form.filename)
        body = form.data
    is_published = read_flag("publish", options.pop("publish", "false"))
    return Envelope(request_id, body, options), is_published


def _error(request_id: str, error: Error) -> Response:
    """The response to a body that never became a request."""
    return Response(bounded_id(request_id), error=error, completed_at=encode_time(datetime.now(UTC)))


def _named(response: Response) -> str:
    """The labels of the image, one a line; empty when a multi-label model gives it none."""
    return "\n".join(label for label, _ in assigned(response.predictions, response.labels))


def _reply(request: HttpRequest, response: Response) -> HttpReply:
    error = response.error
    status = HTTP_STATUS[error.code] if error else 200
    accepted = parse_accept_header(request.headers.get("Accept"), MIMEAccept)
    if accepted.best_match(["application/json", "text/plain"]) == "text/plain":
        text = f"{error.code}: {error.message}" if error else _named(response)
        return text_reply(status, printable_lines(text))
    return HttpReply(status, encode_response(response), JSON)
