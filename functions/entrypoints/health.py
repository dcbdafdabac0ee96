"""The endpoints about the worker itself: /health, /ready, and a description at /."""

from __future__ import annotations

import logging

from functions import bootstrap
from functions.entrypoints.http import TEXT, HttpReply, HttpRequest, json_reply
from functions.settings import SettingsError
from model.errors import ArtifactError

log = logging.getLogger(__name__)

_ABOUT = (
    "This is an image-prediction worker. If its HTTP endpoint is open, POST an image to /predict, for example:\n"
    "  curl --data-binary @shoe.png -H 'Content-Type: image/png' '<this address>predict?top_k=3'\n"
)


def about(request: HttpRequest) -> HttpReply:
    """Describe the server to a person with a browser."""
    return HttpReply(200, _ABOUT.replace("<this address>", request.root or "<this address>").encode(), TEXT)


def health(request: HttpRequest) -> HttpReply:
    """Report that the process runs. The body counts the outcomes of its requests."""
    return json_reply(200, {"status": "ok", **bootstrap.request_log().counts()})


def ready(request: HttpRequest) -> HttpReply:
    """Whether the model is loaded and requests are answered; loads the model at the first call."""
    try:
        models = bootstrap.handler().pipeline.models
    except Exception as exc:
        # Every probe logs this: errors in our own words need no traceback each time.
        log.error("not ready: %s", exc, exc_info=None if isinstance(exc, ArtifactError | SettingsError) else exc)
        return json_reply(503, {"status": "not ready"})
    why = bootstrap.request_log().why_not_ready()
    if why:
        log.error("not ready: %s", why)
    return json_reply(503 if why else 200, {"status": "not ready" if why else "ready", **models.report()})
