"""Calls of Google's REST interfaces with this machine's credentials, and their errors in one line."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from model.text import printable, reason

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT_S = 10.0
"""Seconds until a connection or a silent server is given up."""

_MAX_CHARACTERS = 120
"""Characters of Google's own words in a message."""


class ApiError(Exception):
    """A call failed, or its reply is unusable. The message is one line. `status`: of the reply, 0 without one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class GoogleApi:
    """A session with `credentials`, of google-auth, or by default with this machine's.

    The constructor raises ApiError when there are none.
    """

    def __init__(self, credentials: Any = None) -> None:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import AuthorizedSession

        try:
            credentials = credentials or google.auth.default(scopes=[_SCOPE])[0]
        except GoogleAuthError as exc:
            raise ApiError(f"there are no credentials on this machine: {reason(exc)}") from exc
        self._session = AuthorizedSession(credentials)

    def call(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        """Call once and return the reply's JSON object. Raises ApiError."""
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        host = urlsplit(url).netloc
        try:
            reply = self._session.request(method, url, timeout=_TIMEOUT_S, allow_redirects=False, **content)
            body = _json(reply)
        except (RequestException, GoogleAuthError) as exc:
            raise ApiError(f"{host} did not answer: {reason(exc)}") from exc
        if reply.status_code != 200:
            raise ApiError(f"{host} answered {reply.status_code}{_said(body)}", reply.status_code)
        if not isinstance(body, dict):
            raise ApiError(f"{host} answered with no JSON object")
        return body

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _json(reply: Any) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None


def _said(body: Any) -> str:
    """Return what an error reply says, such as `: Permission denied`."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return f": {printable(' '.join(message.split()))[:_MAX_CHARACTERS]}" if isinstance(message, str) else ""
