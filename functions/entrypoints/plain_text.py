"""Has an application answer in plain text and in our words, where Flask would answer with a page of HTML."""

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
"""By status: what Flask and Werkzeug refuse before a route is asked, and a failure of ours, which they log."""


class PlainText(flask.Response):
    """What a route returns as a text; it may repeat a sender's words, which a browser must not read as HTML."""

    default_mimetype = "text/plain"


def answer_plainly(app: flask.Flask) -> None:
    """Set up an application, before its routes are added."""
    app.response_class = PlainText
    app.before_request(_no_redirect)
    app.register_error_handler(HTTPException, _answer)
    app.register_error_handler(500, _answer)  # in place of the framework's, which repeats the exception


def _no_redirect() -> ResponseReturnValue | None:
    """Werkzeug would redirect from a path with a double slash, or without any, and no handler of errors is asked."""
    return _answer(NotFound()) if isinstance(flask.request.routing_exception, RequestRedirect) else None


def _answer(failure: HTTPException) -> ResponseReturnValue:
    status = failure.code or 500
    if status == 400:
        bootstrap.request_log().malformed(_MALFORMED)
    return f"{_SENTENCES.get(status, failure.name.lower())}\n", status
