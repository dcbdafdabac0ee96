"""The HTTP entry point: POST an image to /predict, and the reply is its response. `?publish=true` publishes it too.

Several files of a form, or lines of JSON, are answered with a list of responses.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from functions import bootstrap
from functions.entrypoints.http import JSON, HttpReply, HttpRequest, Reply, text_reply
from functions.entrypoints.request_body import BodyTooLarge, read_body, reserve_nothing
from functions.errors import HTTP_STATUS, UNAVAILABLE, InvalidRequest
from functions.messages.contract import (
    OPTIONS,
    Decoded,
    Envelope,
    Error,
    Ignored,
    Rejected,
    Request,
    Response,
    bounded_id,
    encode_response,
    encode_time,
)
from functions.messages.image_lines import decode_lines, has_lines
from functions.messages.request_decoder import LINES_TYPE, decode, distinct, read_flag
from functions.messages.response_list import encode_list
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

_FORM_TYPE = "multipart/form-data"

_UNAVAILABLE = Error(UNAVAILABLE, "the request could not be answered now; try again")


def predict(request: HttpRequest) -> HttpReply:
    """The response to the image in the body, in a multipart form's field `file`, or behind a reference."""
    request_id, failure = request.headers.get(_ID_HEADER) or uuid.uuid4().hex, None
    try:
        with bootstrap.payload_budget().reservation() as reserve:
            envelopes, is_published = _read(request, request_id, reserve)
            several = _several(envelopes)
            if several is not None:
                return _reply_to_several(request, _answer_several(envelopes[0], several, is_published))
            [envelope] = envelopes
            if is_published:
                return _published(request, envelope)
            response = _scored(envelope)
    except BodyTooLarge as exc:
        response = _error(request_id, Error("image_too_large", str(exc)))
    except InvalidRequest as exc:
        response = _error(request_id, Error("invalid_request", str(exc)))
    except Exception as exc:
        response, failure = _error(request_id, _UNAVAILABLE), exc
    return _answered(request, response, failure)


def begin_predict(request: HttpRequest, reply: Reply) -> bool:
    """Begin to answer a small image if no step waits. Returns False when `predict` must, which also reports errors."""
    try:
        handler = bootstrap.ready_handler()
        if not handler or bootstrap.settings().http_endpoint != "on":
            return False
        if _media_type(request) in (_FORM_TYPE, LINES_TYPE):
            return False
        [envelope], is_published = _read(request, request.headers.get(_ID_HEADER) or uuid.uuid4().hex)
        asked, pipeline = decode(envelope), handler.pipeline
        if is_published or not (choice := pipeline.at_hand(asked)):
            return False
    except Exception:  # `predict` meets and reports it
        return False
    assert isinstance(asked, Request), "only a request has a model at hand"
    made = pipeline.submit_at_hand(asked, choice)
    made.add_done_callback(partial(_conclude, request, envelope.id, reply))
    return True


def _conclude(request: HttpRequest, request_id: str, reply: Reply, responded: Future[Response]) -> None:
    try:
        response, failure = responded.result(), None
    except Exception as exc:
        response, failure = _error(request_id, _UNAVAILABLE), exc
    reply(_answered(request, response, failure))


def _answered(request: HttpRequest, response: Response, failure: Exception | None) -> HttpReply:
    """Log a response and make the reply of it."""
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


def _several(envelopes: Sequence[Envelope]) -> list[Request | Rejected] | None:
    """The requests where there may be several; None for the request of one image. Raises InvalidRequest."""
    if has_lines(envelopes[0].attributes):
        requests = decode_lines(envelopes[0])
        if isinstance(requests, Rejected):
            raise InvalidRequest(requests.reason)
        return requests
    if len(envelopes) == 1:
        return None
    return [request for each in envelopes if not isinstance(request := decode(each), Ignored)]


def _answer_several(envelope: Envelope, requests: Sequence[Request | Rejected], is_published: bool) -> list[Response]:
    """The response to each request, in their order; logs the outcomes."""
    handler = bootstrap.handler()
    try:
        if is_published:  # the handler logs them
            published = handler.answer(envelope, requests, waited=True).result()
            return [
                response or _error(request.request_id, _UNAVAILABLE)
                for request, response in zip(requests, published, strict=True)
            ]
        choices = [handler.pipeline.models.choose(request).result() for request in requests]
        made = handler.pipeline.submit_all(list(zip(requests, choices, strict=True)))
        return [_logged(request, future) for request, future in zip(requests, made, strict=True)]
    finally:
        handler.pipeline.flush()


def _logged(request: Decoded, made: Future[Response]) -> Response:
    failure = None
    try:
        response = made.result()
    except Exception as exc:
        response, failure = _error(request.request_id, _UNAVAILABLE), exc
    bootstrap.request_log().answered(replace(response, trace=response.trace or request.trace), failure)
    return response


def _published(request: HttpRequest, envelope: Envelope) -> HttpReply:
    """Publish the response; the reply follows when the broker has it. The handler logs the outcome."""
    delivery = AwaitedDelivery(envelope)
    bootstrap.handler().handle(delivery)
    return _reply(request, delivery.response or _error(envelope.id, _UNAVAILABLE))


def _media_type(request: HttpRequest) -> str:
    return (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


def _read(request: HttpRequest, request_id: str, reserve: Reserve = reserve_nothing) -> tuple[list[Envelope], bool]:
    """Return the request as a message, or a message for each of several files, and whether responses are published too.

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
    files, media_type = [("", body)], _media_type(request)
    if media_type == _FORM_TYPE:
        from werkzeug.http import parse_options_header  # here, because most requests need no Werkzeug

        from functions.entrypoints.form import read_files

        parameters = parse_options_header(request.headers.get("Content-Type"))[1]
        form = read_files(body, parameters.get("boundary", ""), _OPTIONS)
        options, files = {**form.options, **options}, list(form.files)
    elif media_type == LINES_TYPE:
        options["content_type"] = LINES_TYPE
    is_published = read_flag("publish", options.pop("publish", "false"))
    if len(files) > 1:
        given = options.get("request_id", request_id)
        numbered = (options | {"request_id": f"{given}/{number}"} for number in range(1, len(files) + 1))
        named = zip(numbered, files, strict=True)
        return [Envelope(given, data, each | {"filename": name}) for each, (name, data) in named], is_published
    [(filename, data)] = files
    if filename:
        options.setdefault("filename", filename)
    return [Envelope(request_id, data, options)], is_published


def _error(request_id: str, error: Error) -> Response:
    """The response to a body that never became a request."""
    return Response(bounded_id(request_id), error=error, completed_at=encode_time(datetime.now(UTC)))


def _reply(request: HttpRequest, response: Response) -> HttpReply:
    status = HTTP_STATUS[response.error.code] if response.error else 200
    if _prefers_text(request):
        return text_reply(status, printable_lines("\n".join(_labels(response))))
    return HttpReply(status, encode_response(response), JSON)


def _reply_to_several(request: HttpRequest, responses: Sequence[Response]) -> HttpReply:
    """A list of responses; 503 when one of them is `unavailable`, so that the caller tries again."""
    status = 503 if any(each.error and each.error.code == UNAVAILABLE for each in responses) else 200
    if _prefers_text(request):
        lines = (f"{each.source.filename or each.request_id}: {', '.join(_labels(each))}" for each in responses)
        return text_reply(status, printable_lines("\n".join(lines)))
    return HttpReply(status, encode_list(responses), JSON)


def _labels(response: Response) -> list[str]:
    """The labels of the image, which are none when a multi-label model gives it none; or the error in their place."""
    if error := response.error:
        return [f"{error.code}: {error.message}"]
    return [label for label, _ in assigned(response.predictions, response.labels)]


def _prefers_text(request: HttpRequest) -> bool:
    accepted = request.headers.get("Accept") or ""
    if "text/" not in accepted:
        return False
    from werkzeug.datastructures import MIMEAccept  # here, because most requests need no Werkzeug
    from werkzeug.http import parse_accept_header

    return parse_accept_header(accepted, MIMEAccept).best_match(["application/json", "text/plain"]) == "text/plain"
