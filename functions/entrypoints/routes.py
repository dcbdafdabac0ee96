"""The paths of the push worker."""

from __future__ import annotations

from collections.abc import Callable

from functions.entrypoints.health import about, health, ready
from functions.entrypoints.http import HttpReply, HttpRequest, text_reply
from functions.entrypoints.predict import predict_if_open
from functions.entrypoints.push import receive, receive_dead_letter

ROUTES: dict[str, dict[str, Callable[[HttpRequest], HttpReply]]] = {
    "/": {"GET": about, "POST": receive},
    "/predict": {"POST": predict_if_open},
    "/dead": {"POST": receive_dead_letter},
    "/health": {"GET": health},
    "/ready": {"GET": ready},
}


def route(request: HttpRequest) -> HttpReply:
    """The reply to a request, by its path and method."""
    methods = ROUTES.get(request.path)
    if methods is None:
        return text_reply(404, f"no such path; there are {', '.join(ROUTES)}")
    reply = methods.get("GET" if request.method == "HEAD" else request.method)
    if reply is None:
        return text_reply(405, f"{request.method} is not allowed here", {"Allow": ", ".join(methods)})
    return reply(request)
