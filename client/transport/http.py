"""Asking the HTTP endpoint: one image posted, its answer in the reply."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable

from client.image_files import Picture
from client.results.request_tracker import Outcome, RequestTracker
from client.text import Unsendable
from client.transport.topic import Wishes, content_type, cut
from functions.messages.contract import RESPONSE_LIMIT, Response, decode_response
from functions.messages.trace_context import HEADER, TraceContext

THREADS = 4
CONNECT_TIMEOUT_S = 5.0
_PIECE_BYTES = 65_536


def endpoint(url: str) -> str:
    """The address of the endpoint: `url` itself, or /predict below it."""
    base = (url if "://" in url else f"http://{url}").rstrip("/")
    return base if base.endswith("/predict") else f"{base}/predict"


class Asker:
    """Posts pictures. `send` may be called from several threads. `token`: says who we are to an endpoint that asks."""

    def __init__(
        self, url: str, tracker: RequestTracker, wishes: Wishes, timeout_s: float, token: str | None = None
    ) -> None:
        self._endpoint, self._tracker, self._wishes, self._timeout_s = endpoint(url), tracker, wishes, timeout_s
        self._token = token

    def send(self, picture: Picture) -> None:
        """Post one picture and take its answer. Raises what went wrong."""
        request_id, trace = uuid.uuid4().hex, TraceContext.begin()
        started = time.monotonic()
        response = self._post(picture, request_id, trace)
        ms = 1000 * (time.monotonic() - started)
        self._tracker.settle(Outcome(picture, request_id, response, ms=ms, trace_id=trace.trace_id))

    def _post(self, picture: Picture, request_id: str, trace: TraceContext) -> Response:
        import requests

        headers = {
            "Content-Type": content_type(picture) or "application/octet-stream",
            "Accept": "application/json",
            "X-Request-Id": request_id,
            HEADER: trace.header,
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        options = self._wishes.attributes() | {"filename": cut(picture.path.name, 1024)}
        image = picture.path.read_bytes()
        limits = CONNECT_TIMEOUT_S, self._timeout_s
        try:
            with requests.post(
                self._endpoint, image, params=options, headers=headers, timeout=limits, stream=True
            ) as answer:
                body = _bounded(answer.iter_content(_PIECE_BYTES))
        except requests.Timeout:
            raise Unsendable(f"no answer from {self._endpoint} within {self._timeout_s:g} s") from None
        except requests.ConnectionError:
            raise Unsendable(
                f"nothing answers at {self._endpoint}: is the worker running, and the address right?"
            ) from None
        except requests.RequestException as exc:
            raise Unsendable(f"{self._endpoint}: {exc}") from None
        try:
            return decode_response(body)
        except ValueError as exc:
            raise Unsendable(f"{self._endpoint} answered HTTP {answer.status_code} and no response: {exc}") from None


def _bounded(pieces: Iterable[bytes]) -> bytes:
    """A reply's body, read until it is too long for a response."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > RESPONSE_LIMIT:
            break
    return bytes(body)
