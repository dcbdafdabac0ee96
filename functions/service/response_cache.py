"""What was answered lately, so that a message that comes again is not worked on again. Delivery stays at least once.

The identity of a response hashes everything that decides it: the model's digest and the request as it was decoded, or
the words of its refusal. A sender who uses a request_id twice, for two images, gets two responses and never the wrong
one, and no message is answered with the response to another that only looks like it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from datetime import datetime

from functions.errors import InvalidRequest
from functions.messages.contract import Envelope, ObjectRef, Request, Response, Source
from functions.messages.request_decoder import decode_request, is_notification, request_id_of, source_of

RECENT_BYTES = 16_000_000
"""What a memory may weigh: about ten thousand answers of five labels."""


def identity_of(envelope: Envelope, digest: str) -> str:
    """64 hex digits that name the one response which this model gives to this request.

    Equal for the copies of a request: message id, delivery attempt, publish time, reply_to, trace and what the decoder
    does not read are left out. Different wherever a field of the decoded request, the source that the response names,
    or the words of a refusal differ.
    """
    event = envelope.attributes["eventType"] if is_notification(envelope) else None
    asked: Request | list[str]
    try:
        asked = decode_request(envelope)
    except InvalidRequest as refusal:
        asked = [request_id_of(envelope), str(refusal)]
    # JSON keeps the parts apart: no two lists of values have the same text.
    decides = _encode([digest, event, asked, source_of(envelope)])
    return hashlib.sha256(decides.encode()).hexdigest()


def _as_json(value: Request | ObjectRef | Source | datetime | bytes) -> object:
    """What JSON has for a value that it does not know: image bytes become their hash, which is no list."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, datetime):
        return value.isoformat()
    return [getattr(value, name) for name in value.__slots__]


_encode = json.JSONEncoder(default=_as_json).encode


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
