"""Makes a Flask application reply in plain text where Flask would reply with a page of HTML."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import RequestRedirect

from functions import bootstrap

_MALFORMED = "the request is malformed: its Host or Upgrade header is not understood"
_SENTENCES = {
    400: _MALFORMED,
    404: "no such path",
    500: "the request could not be answered",
}
"""Replies by status, for errors of Flask and Werkzeug before a route is called, and for an exception."""


class PlainText(flask.Response):
    """The type of a text reply. It may quote the sender, and a browser must not read that as HTML."""

    default_mimetype = "text/plain"


def answer_plainly(app: flask.Flask) -> None:
    """Set up an application before its routes are added."""
    app.response_class = PlainText
    app.before_request(_no_redirect)
    app.register_error_handler(HTTPException, _answer)
    app.register_error_handler(500, _answer)  # instead of the framework's handler, which quotes the exception


def _no_redirect() -> ResponseReturnValue | None:
    """Werkzeug redirects from a path with a double slash or without a slash, and calls no error handler."""
    return _answer(NotFound()) if isinstance(flask.request.routing_exception, RequestRedirect) else None


def _answer(failure: HTTPException) -> ResponseReturnValue:
    status = failure.code or 500
    if status == 400:
        bootstrap.request_log().malformed(_MALFORMED)
    return f"{_SENTENCES.get(status, failure.name.lower())}\n", status
