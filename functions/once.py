"""What was answered lately, so that a message that comes again is not worked on again. Delivery stays at least once.

An answer's identity is the request_id and the model's digest. What was asked is hashed with them: a sender who uses an
id twice, for two images, gets two answers and never the wrong one.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict

from functions.carriers import request_id_of
from functions.contract import Envelope, Response

RECENT_BYTES = 16_000_000
"""What a memory may weigh: about ten thousand answers of five labels."""

_WISHES = ("top_k", "model", "expires_at", "explain")


def identity_of(envelope: Envelope, digest: str) -> str:
    """64 hex digits that name the one answer which this model gives to this request."""
    wishes = [envelope.attributes.get(name) for name in _WISHES]
    asked = hashlib.sha256(json.dumps([request_id_of(envelope), digest, wishes]).encode())
    asked.update(envelope.payload)
    return asked.hexdigest()


class Recent:
    """The latest answers by their identity, the oldest forgotten first. Callable from any thread."""

    def __init__(self, limit_bytes: int = RECENT_BYTES) -> None:
        self._lock = threading.Lock()
        self._room = limit_bytes
        self._answers: OrderedDict[str, Response] = OrderedDict()

    def get(self, identity: str) -> Response | None:
        """The answer, or None when it is not remembered."""
        with self._lock:
            return self._answers.get(identity)

    def keep(self, identity: str, response: Response) -> Response:
        """Remember an answer, unless there is one, and forget the oldest where there is no room; gives the first."""
        with self._lock:
            if identity in self._answers:
                return self._answers[identity]
            self._answers[identity] = response
            self._room -= _weight(response)
            while self._room < 0:
                self._room += _weight(self._answers.popitem(last=False)[1])
            return response


def _weight(response: Response) -> int:
    """Bytes in memory, roughly."""
    picture = len(response.explanation.png) if response.explanation else 0
    return 1200 + 100 * len(response.predictions) + picture
