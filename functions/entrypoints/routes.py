"""The paths of the push worker."""

from __future__ import annotations

from collections.abc import Callable

from functions.entrypoints.health import about, health, ready
from functions.entrypoints.http import HttpReply, HttpRequest, Reply, text_reply
from functions.entrypoints.predict import begin_predict, predict_if_open
from functions.entrypoints.push import begin_push, receive, receive_dead_letter


def at_once(answer: Callable[[HttpRequest], HttpReply]) -> Callable[[HttpRequest, Reply], bool]:
    """A beginning that ends at once."""

    def begin(request: HttpRequest, reply: Reply) -> bool:
        reply(answer(request))
        return True

    return begin


ROUTES: dict[str, dict[str, Callable[[HttpRequest], HttpReply]]] = {
    "/": {"GET": about, "POST": receive},
    "/predict": {"POST": predict_if_open},
    "/dead": {"POST": receive_dead_letter},
    "/health": {"GET": health},
    "/ready": {"GET": ready},
}

_BEGINNINGS: dict[tuple[str, str], Callable[[HttpRequest, Reply], bool]] = {
    ("POST", "/"): begin_push,
    ("POST", "/predict"): begin_predict,
    ("GET", "/"): at_once(about),
    ("GET", "/health"): at_once(health),
    ("HEAD", "/health"): at_once(health),
}
"""Routes that may not need to wait."""


def route(request: HttpRequest) -> HttpReply:
    """The reply to a request, by its path and method."""
    methods = ROUTES.get(request.path)
    if methods is None:
        return text_reply(404, f"no such path; there are {', '.join(ROUTES)}")
    reply = methods.get("GET" if request.method == "HEAD" else request.method)
    if reply is None:
        return text_reply(405, f"{request.method} is not allowed here", {"Allow": ", ".join(methods)})
    return reply(request)


def begin(request: HttpRequest, reply: Reply) -> bool:
    """Begin to answer a request if no step waits; `reply` gets the reply. Returns False when `route` must answer it."""
    if request.path not in ROUTES:
        reply(route(request))
        return True
    beginning = _BEGINNINGS.get((request.method, request.path))
    return beginning is not None and beginning(request, reply)
