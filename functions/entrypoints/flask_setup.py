"""Sets up a Flask application: errors in plain text instead of HTML pages, and no body read that no route reads."""

from __future__ import annotations

import io

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import RequestRedirect

from functions import bootstrap

_MALFORMED = "the request is malformed: its Host or Upgrade header is not valid"
_SENTENCES = {
    400: _MALFORMED,
    404: "no such path",
    500: "the request could not be answered",
}
"""Texts by HTTP status: errors that Flask and Werkzeug detect before a route is called, and failures of a route, which
they log.
"""


class PlainText(flask.Response):
    """The default response class. A text may repeat untrusted input, which a browser must not interpret as HTML."""

    default_mimetype = "text/plain"


def set_up(app: flask.Flask) -> None:
    """Configure an application. Call it before routes are added."""
    app.response_class = PlainText
    app.before_request(_before_request)
    app.register_error_handler(HTTPException, _answer)
    app.register_error_handler(500, _answer)  # replaces the framework's handler, which repeats the exception


def _before_request() -> ResponseReturnValue | None:
    """Reply 404 where Werkzeug would redirect, without an error handler: for an empty path, and for a double slash.

    Keep the framework from reading the rest of the body after the response; the routes read wsgi.input themselves.
    """
    flask.request.stream = io.BytesIO()
    return _answer(NotFound()) if isinstance(flask.request.routing_exception, RequestRedirect) else None


def _answer(failure: HTTPException) -> ResponseReturnValue:
    status = failure.code or 500
    if status == 400:
        bootstrap.request_log().malformed(_MALFORMED)
    return f"{_SENTENCES.get(status, failure.name.lower())}\n", status
