"""Posts images to the HTTP endpoint of a worker: one request an image, the response in the reply."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable

from client.images import Image
from client.results.request_tracker import Outcome, Requests
from client.text import SendError, plain
from client.transport.base import SendOptions, Sent, content_type, cut
from functions.messages.contract import RESPONSE_LIMIT, Response, decode_response
from functions.messages.trace_context import HEADER, TraceContext

CONNECT_TIMEOUT_S = 5.0
"""Seconds to wait for a connection: a reachable host accepts within milliseconds."""

_CHUNK_BYTES = 65_536
"""Bytes read from a reply at a time, so that reading stops soon after RESPONSE_LIMIT."""

_NOT_THE_ENDPOINT = (401, 403, 404)
"""Status codes of a reply without a response that are about the address or the token, whatever the image is."""

_FILENAME_BYTES = 1024
"""Bytes of the filename in UTF-8, as in a message attribute."""


def endpoint(url: str) -> str:
    """Return the address of the endpoint: `url` itself, or /predict below it."""
    base = (url if "://" in url else f"http://{url}").rstrip("/")
    return base if base.endswith("/predict") else f"{base}/predict"


class HttpTransport:
    """Posts images. Several threads may call `send`. `token` is the identity token for a protected endpoint."""

    threads = 4
    """Requests at the same time: few, because each one waits until the worker has scored its image."""

    def __init__(
        self, url: str, tracker: Requests, timeout_s: float, options: SendOptions, token: str | None = None
    ) -> None:
        self._endpoint, self._tracker, self._timeout_s = endpoint(url), tracker, timeout_s
        self._options, self._token = options, token

    def send(self, image: Image) -> Sent:
        """Post one image and wait for its response."""
        request_id, trace = image.request_id or uuid.uuid4().hex, TraceContext.begin()
        started = time.monotonic()
        response = self._post(image, request_id, trace)
        ms = 1000 * (time.monotonic() - started)
        self._tracker.settle(Outcome(image, request_id, response, ms=ms, trace_id=trace.trace_id))
        return Sent(request_id, trace.trace_id)

    def _post(self, image: Image, request_id: str, trace: TraceContext) -> Response:
        import requests

        headers = {
            "Content-Type": content_type(image) or "application/octet-stream",
            "Accept": "application/json",
            "X-Request-Id": request_id,
            HEADER: trace.header,
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        params = {**self._options.attributes(), "filename": cut(image.filename, _FILENAME_BYTES)}
        data = image.read()
        limits = CONNECT_TIMEOUT_S, self._timeout_s
        try:
            with requests.post(
                self._endpoint, data, params=params, headers=headers, timeout=limits, stream=True
            ) as reply:
                body = _bounded(reply.iter_content(_CHUNK_BYTES))
        except requests.Timeout:
            message = f"no answer from {self._endpoint} within {self._timeout_s:g} s"
            raise SendError(message, temporary=True) from None
        except requests.ConnectionError:
            raise SendError(
                f"nothing answers at {self._endpoint}: is the worker running, and the address right?", temporary=True
            ) from None
        except requests.RequestException as exc:
            raise SendError(f"{self._endpoint}: {plain(exc)}") from exc
        try:
            return decode_response(body)
        except ValueError as exc:
            message = f"{self._endpoint} answered HTTP {reply.status_code} and no response: {exc}"
            raise SendError(message, for_all=reply.status_code in _NOT_THE_ENDPOINT) from None


def _bounded(chunks: Iterable[bytes]) -> bytes:
    """Read a reply's body, and stop when it is too long for a response."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > RESPONSE_LIMIT:
            break
    return bytes(body)
