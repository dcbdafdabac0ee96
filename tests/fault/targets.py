"""Fuzz targets: functions that read untrusted input and fail only when a promise is broken.

Promises: an event or a request that cannot be read is an InvalidRequest, a response that cannot is a ValueError, an
image that cannot is an InvalidImage; whatever came, an answer to it can be written, and its attributes can be sent.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable

from functions.errors import InvalidRequest
from functions.messages import event_decoder
from functions.messages.contract import (
    ID_LIMIT,
    Envelope,
    Error,
    Response,
    decode_response,
    encode_response,
    response_attributes,
)
from functions.messages.request_decoder import decode
from model.errors import InvalidImage
from model.images.decode import decode_image
from model.images.limits import Limits
from tests.image_files import avif, moving_frame, moving_sequence, webp_of_groups
from tests.samples import HEIC, SVG, encoded

_TINY = Limits(max_pixels=1_000_000, max_pixels_of={})


def event(data: bytes) -> None:
    """A posted event: the first byte says how it is declared, the rest is its body."""
    kinds: list[dict[str, str]] = [
        {},
        {"ce-type": event_decoder.PUBSUB_EVENT, "ce-id": "e"},
        {"ce-type": event_decoder.STORAGE_EVENT + "finalized", "ce-id": "e"},
        {"Content-Type": "application/cloudevents+json"},
    ]
    try:
        envelope = event_decoder.from_http(kinds[data[0] % len(kinds)] if data else {}, data[1:])
    except InvalidRequest:
        return
    request(envelope)


def payload(data: bytes) -> None:
    """A message's data, alone and as what a bucket's notification carries."""
    request(Envelope("m", data, {}))
    request(Envelope("m", data, {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "o"}))


def request(envelope: Envelope) -> None:
    """An envelope is decoded, and the response to it can be written."""
    decoded = decode(envelope)
    assert decoded.request_id or not envelope.id
    assert len(decoded.request_id.encode()) <= ID_LIMIT
    answer = Response(
        decoded.request_id, error=Error("invalid_request", "no"), source=decoded.source, reply_to=decoded.reply_to
    )
    body, attributes = encode_response(answer), response_attributes(answer)
    assert all(len(value.encode()) <= 1024 for value in attributes.values()), "what Pub/Sub takes"
    assert decode_response(body, attributes) == answer


def response(data: bytes) -> None:
    """Decode a response as a client does. A response that can be read can be written again."""
    try:
        heard = decode_response(data)
    except ValueError:
        return
    json.dumps(heard.request_id)


def image(data: bytes) -> None:
    """An image file, small."""
    with contextlib.suppress(InvalidImage):
        assert decode_image(data, _TINY).mode in {"L", "RGB"}


def _push(data: bytes, **attributes: str) -> bytes:
    message = {"data": base64.b64encode(data).decode(), "messageId": "1", "attributes": attributes}
    return b"\0" + json.dumps({"message": message, "subscription": "s", "deliveryAttempt": 2}).encode()


_ANSWER = encode_response(Response("r", error=Error("invalid_image", "no"), completed_at="2026-11-21T09:30:00Z"))
_OBJECT = {"bucket": "b", "name": "o", "generation": "1", "size": "9", "metadata": {"top_k": "3", "reply_to": "me"}}
_CLOUD_EVENT = {"type": event_decoder.STORAGE_EVENT + "finalized", "id": "1", "data": _OBJECT}

TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "event": (
        event,
        [
            _push(
                b"image", request_id="r", top_k="3", expires_at="2026-11-21T09:30:00Z", reply_to="me", explain="true"
            ),
            _push(b'{"image_uri": "gs://bucket/a#12"}', model="m"),
            _push(json.dumps(_OBJECT).encode(), eventType="OBJECT_FINALIZE", bucketId="b", objectId="o/"),
            b"\2" + json.dumps(_OBJECT).encode(),
            b"\3" + json.dumps(_CLOUD_EVENT).encode(),
            b'\0{"message": {"attributes": {"a": "\\ud800"}, "publishTime": "2026-11-21T09:30:00Z"}}',
        ],
    ),
    "payload": (
        payload,
        [
            b'{"image_uri": "gs://bucket/a#1", "explain": true}',
            b'\xef\xbb\xbf\n{"image_uri": "gs://bucket/a", "top_k": 3, "reply_to": "me", "request_id": "r"}',
            json.dumps(_OBJECT).encode(),
            b"{" * 100,
            b'{"a": NaN}',
        ],
    ),
    "response": (response, [_ANSWER, b"{}", b"[" * 100]),
    "image": (
        image,
        [
            HEIC,
            SVG,
            *(encoded(format, (6, 5), "RGB") for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")),
            encoded("WEBP", (140, 140), "RGBA", lossless=True),
            webp_of_groups(40, 9),
            avif(moving_sequence(64, 48) + moving_frame(own_size=True), pieces=2),
        ],
    ),
}
"""Name to function and seeds. What fuzzing finds becomes a seed."""
