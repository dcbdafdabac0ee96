"""The doors over HTTP, a few lines each: events, dead letters, images posted by hand, and two questions about health.

`serve` routes by path and is what Cloud Run runs; `on_request`, `on_upload` and `predict` are targets of their own for
2nd-gen functions. All are plain HTTP functions: the framework's own event conversion drops what retries need (README).
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import flask
import functions_framework
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from functions import bootstrap
from functions.entrypoints.form import read_file
from functions.entrypoints.plain_text import answer_plainly
from functions.entrypoints.request_body import Hold, ignore_body, read_body
from functions.errors import HTTP_STATUS, UNAVAILABLE, InvalidRequest
from functions.gcp.push_tokens import NotAllowed
from functions.messages import event_decoder
from functions.messages.contract import Envelope, Error, Response, bounded_id, encode_response, encode_time
from functions.messages.trace_context import HEADER, TraceContext
from functions.service.pipeline import PUBLISH_TIMEOUT_S
from functions.settings import SettingsError
from model.errors import ArtifactError
from model.text import printable

log = logging.getLogger(__name__)

MAX_EVENT_BYTES = 15_000_000
"""A message of 10 MB in base64, and room for its attributes."""

FORM_BYTES = 10_000

LARGE_EVENT_BYTES = 1_000_000
_large_event = threading.Lock()
"""Reading an event's JSON takes several times its bytes: large ones are read one after the other."""

_OPTIONS = ("top_k", "model", "expires_at", "reply_to", "filename", "explain")
_HELLO = (
    "This is an image-prediction worker. Where its HTTP door is open, POST an image to /predict, for example:\n"
    "  curl --data-binary @shoe.png -H 'Content-Type: image/png' '<this address>predict?top_k=3'\n"
)

if flask.has_app_context():  # the framework imports this module for one application
    flask.current_app.before_request(ignore_body)
    answer_plainly(flask.current_app)


@functions_framework.http
def serve(request: flask.Request) -> ResponseReturnValue:
    """Every path of the worker."""
    methods = _ROUTES.get(request.path)
    if methods is None:
        return f"no such path; there are {', '.join(_ROUTES)}\n", 404
    door = methods.get("GET" if request.method == "HEAD" else request.method)
    if door is None:
        return f"{request.method} is not allowed here\n", 405, {"Allow": ", ".join(methods)}
    return door(request)


@functions_framework.http
def on_request(request: flask.Request) -> ResponseReturnValue:
    """A message on the request topic, pushed or as a CloudEvent."""
    return _accept(request)


@functions_framework.http
def on_upload(request: flask.Request) -> ResponseReturnValue:
    """An object finished in the upload bucket, as a notification or as a CloudEvent."""
    return _accept(request)


@functions_framework.http
def predict(request: flask.Request) -> ResponseReturnValue:
    """An image posted by somebody who waits; published too with `?publish=true`."""
    request_id = request.headers.get("X-Request-Id") or uuid.uuid4().hex
    failure = None
    try:
        limit = bootstrap.settings().max_image_bytes
        with _memory() as hold:
            response = _answer(_posted(request, request_id, limit, hold), request.args.get("publish") == "true")
    except RequestEntityTooLarge:
        response = _refusal(request_id, "image_too_large", _too_large(limit))
    except InvalidRequest as exc:
        response = _refusal(request_id, "invalid_request", str(exc))
    except Exception as exc:
        response = _refusal(request_id, UNAVAILABLE, "the request could not be answered now; try again")
        failure = exc
    trace = response.trace or TraceContext.parse(request.headers.get(HEADER, ""))
    bootstrap.outcomes().answered(replace(response, trace=trace), failure)
    return _reply(request, response)


def _answer(envelope: Envelope, publish: bool) -> Response:
    """The response to a posted image; published too where that is asked for, after the broker has it."""
    service = bootstrap.service()
    if publish:  # in the words of an earlier copy, as at every door that publishes
        response = service.respond(envelope)
        assert response, "what is posted by hand is no notification"
        service.responses.publish(response, waited=True).result(PUBLISH_TIMEOUT_S)
    else:
        response = service.answer(envelope)
    service.flush()
    return response


@contextmanager
def _memory() -> Iterator[Hold]:
    """A function that takes memory for a large body, which is given back when the block ends."""
    with ExitStack() as held:

        def hold(size: int) -> Callable[[], bool]:
            payloads = bootstrap.payloads()
            held.enter_context(payloads.held(size))
            return payloads.is_wanted

        yield hold


def _accept(request: flask.Request) -> ResponseReturnValue:
    """A request, whatever brought it."""
    return _event(request, lambda envelope: bootstrap.service().handle(envelope))


def _dead(request: flask.Request) -> ResponseReturnValue:
    """A dead letter: published as an `unavailable` response."""
    return _event(request, lambda envelope: bootstrap.service().handle_dead(envelope))


def _event(request: flask.Request, handle: Callable[[Envelope], None]) -> ResponseReturnValue:
    """204 is an ack, 503 a nack. 400: nobody can be answered, so the broker sets it aside for a person to see."""
    if refusal := _turned_away(request):
        return refusal
    with _memory() as hold:
        return _read_event(request, handle, hold)


def _read_event(request: flask.Request, handle: Callable[[Envelope], None], hold: Hold) -> ResponseReturnValue:
    try:
        body = read_body(request, MAX_EVENT_BYTES, hold)
        with _large_event if len(body) > LARGE_EVENT_BYTES else nullcontext():
            envelope = event_decoder.from_http(request.headers, body)
        del body  # while the image is decoded it would be a second copy
    except InvalidRequest as exc:
        bootstrap.outcomes().malformed(str(exc))
        return f"{exc}\n", 400
    except RequestEntityTooLarge:
        reason = _too_large(MAX_EVENT_BYTES)
        bootstrap.outcomes().malformed(reason)
        return f"{reason}\n", 413
    except Exception as exc:
        return _nack(None, exc)
    try:
        handle(envelope)
    except Exception as exc:
        return _nack(envelope, exc)
    return "", 204


def _nack(envelope: Envelope | None, failure: Exception) -> ResponseReturnValue:
    """A failure of ours: nothing of it reaches the broker but the wish to try again."""
    bootstrap.outcomes().nacked(envelope, failure)
    return "not now; deliver it again\n", 503


def _turned_away(request: flask.Request) -> ResponseReturnValue | None:
    """What one who may not push is told, before anything of the body is read; None for one who may."""
    try:
        if pushers := bootstrap.pushers():
            pushers.check(request.headers.get("Authorization"))
    except NotAllowed as exc:
        bootstrap.outcomes().refused(str(exc))
        return f"{exc}\n", exc.status, {"WWW-Authenticate": "Bearer"}
    except Exception as exc:
        return _nack(None, exc)
    return None


def _by_hand(request: flask.Request) -> ResponseReturnValue:
    """The HTTP door of `serve`, closed unless HTTP_DOOR opens it."""
    try:
        closed = bootstrap.settings().http_door != "on"
    except SettingsError:
        closed = False  # the door itself says that it cannot serve
    if closed:
        bootstrap.outcomes().refused("the HTTP door is closed")
        return "the HTTP door of this worker is closed; HTTP_DOOR=on opens it\n", 404
    answer: ResponseReturnValue = predict(request)
    return answer


def _hello(request: flask.Request) -> ResponseReturnValue:
    address = f"{request.scheme}://{request.host}/" if request.host else "<this address>"
    return _HELLO.replace("<this address>", address)


def _health(request: flask.Request) -> ResponseReturnValue:
    """The process lives, and what became of its requests."""
    return {"status": "ok", **bootstrap.outcomes().counts()}


def _ready(request: flask.Request) -> ResponseReturnValue:
    """The model is loaded: builds the service."""
    try:
        model = bootstrap.service().model
    except Exception as exc:
        # A sentence of ours says it all, and comes again with every probe; other failures need their traceback.
        log.error("not ready: %s", exc, exc_info=None if isinstance(exc, ArtifactError | SettingsError) else exc)
        return {"status": "not ready"}, 503
    return {"status": "ready", "model": model.name, "version": model.version, "engine": model.engine}


def _posted(request: flask.Request, request_id: str, max_image_bytes: int, hold: Hold) -> Envelope:
    """Multipart has a field `file`; everything else is the image itself, whatever curl calls it."""
    # The limit is on the file: a form around it may be a little larger.
    body = read_body(request, max_image_bytes + FORM_BYTES, hold)
    options = {name: request.args[name] for name in _OPTIONS if name in request.args}
    if HEADER in request.headers:
        options[HEADER] = request.headers[HEADER]
    if request.mimetype != "multipart/form-data":
        return event_decoder.from_post(body, options, request_id)
    name, image = read_file(body, request.mimetype_params.get("boundary", ""))
    if name:
        options.setdefault("filename", name)
    return event_decoder.from_post(image, options, request_id)


def _refusal(request_id: str, code: str, message: str) -> Response:
    """The answer to what never became a request."""
    return Response(bounded_id(request_id), error=Error(code, message), completed_at=encode_time(datetime.now(UTC)))


def _too_large(limit: int) -> str:
    return f"the body is too large; at most {limit:,} bytes are allowed"


def _reply(request: flask.Request, response: Response) -> ResponseReturnValue:
    status = HTTP_STATUS[response.error.code] if response.error else 200
    if request.accept_mimetypes.best_match(["application/json", "text/plain"]) == "text/plain":
        error = response.error
        text = f"{error.code}: {error.message}" if error else response.predictions[0].label
        return f"{printable(text)}\n", status
    return flask.Response(encode_response(response), status, content_type="application/json")


_Door = Callable[[flask.Request], ResponseReturnValue]
_ROUTES: dict[str, dict[str, _Door]] = {
    "/": {"GET": _hello, "POST": _accept},
    "/predict": {"POST": _by_hand},
    "/dead": {"POST": _dead},
    "/health": {"GET": _health},
    "/ready": {"GET": _ready},
}
