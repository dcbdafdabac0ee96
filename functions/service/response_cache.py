"""The identity of a response, and a cache of recent responses: a redelivery is not scored again.

Delivery stays at least once: the cache saves work, and copies of a response are the same.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from datetime import datetime

from functions.messages.contract import ObjectRef, Rejected, Request, RequestOptions, Response, Source

CACHE_BYTES = 16_000_000
"""Most memory of the cache: about ten thousand responses of five labels."""


def identity_of(request: Request | Rejected, digest: str) -> str:
    """64 hex digits that name the one response of the model with this digest to this request.

    The identity hashes everything that decides the response: the model's digest, the request_id, the image, the
    options and the source, or the reason of a rejection. Copies of a request have the same identity: message id,
    delivery attempt, publish time, reply_to and trace are left out. Two requests with one request_id and different
    images have different identities.
    """
    asked = [request.image, request.options] if isinstance(request, Request) else [request.reason]
    # JSON keeps the parts apart: no two lists of values have the same text.
    parts = _encode([digest, request.event, request.request_id, request.source, asked])
    return hashlib.sha256(parts.encode()).hexdigest()


def _as_json(value: RequestOptions | ObjectRef | Source | datetime | bytes) -> object:
    """JSON of a value that the encoder does not know: image bytes become their hash, which no list equals."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, datetime):
        return value.isoformat()
    return [getattr(value, name) for name in value.__slots__]


_encode = json.JSONEncoder(default=_as_json).encode


class ResponseCache:
    """Recent responses by their identity; the oldest go first. Callable from any thread."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._lock = threading.Lock()
        self._free = limit_bytes
        self._responses: OrderedDict[str, Response] = OrderedDict()

    def get(self, identity: str) -> Response | None:
        """The response, or None."""
        with self._lock:
            return self._responses.get(identity)

    def keep(self, identity: str, response: Response) -> Response:
        """Add a response unless there is one, and return the one that is in the cache."""
        with self._lock:
            if identity in self._responses:
                return self._responses[identity]
            self._responses[identity] = response
            self._free -= _size(response)
            while self._free < 0:
                self._free += _size(self._responses.popitem(last=False)[1])
            return response


def _size(response: Response) -> int:
    """Bytes in memory, estimated."""
    explanation = len(response.explanation.png) if response.explanation else 0
    return 1200 + 100 * len(response.predictions) + explanation + len(response.features or b"")
