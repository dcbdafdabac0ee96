"""The identity of a response, and a cache of recent responses: a redelivery is not scored again.

Delivery stays at least once: the cache saves work, and copies of a response are the same.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from functions.messages.contract import ObjectRef, Rejected, Request, RequestOptions, Response

CACHE_BYTES = 16_000_000
"""Most memory of the cache: about ten thousand responses of five labels."""


def identity_of(request: Request | Rejected, digest: str) -> str:
    """64 hex digits that name the one response of the model with this digest to this request.

    The identity hashes everything that decides the response: the model's digest, the request_id, the image, the
    options and the source, or the reason of a rejection. Copies of a request have the same identity: message id,
    delivery attempt, publish time, reply_to and trace are left out. Two requests with one request_id and different
    images have different identities.
    """
    asked: object
    if isinstance(request, Rejected):
        asked = _encode([request.reason])
    elif isinstance(request.image, bytes):  # their hash, which no list equals
        asked = f'["{hashlib.sha256(request.image).hexdigest()}", {_options(request.options)}]'
    else:
        asked = f"[{_encode(request.image)}, {_options(request.options)}]"
    source = request.source
    head = f"[{_text(digest)}, {_text(request.event)}, {_text(request.request_id)}"
    # JSON keeps the parts apart: no two lists of values have the same text.
    parts = f"{head}, [{_text(source.filename)}, {_text(source.image_uri)}], {asked}]"
    return hashlib.sha256(parts.encode()).hexdigest()


def _text(text: str | None) -> str:
    return "null" if text is None else encode_basestring_ascii(text)


@lru_cache(maxsize=64)
def _options(options: RequestOptions) -> str:
    """The JSON of options, which are the same for many requests."""
    return _encode(options)


def _as_json(value: RequestOptions | ObjectRef | datetime) -> object:
    """JSON of a value that the encoder does not know."""
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
