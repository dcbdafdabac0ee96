"""Messages with several images: NDJSON, one JSON object on each line, each with an id of its own.

What makes the ids unknown rejects the message. What is wrong with one image rejects that image alone.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from functions.errors import InvalidRequest
from functions.messages.contract import MAX_LINES, Envelope, ObjectRef, Rejected, Request, Source, bounded_id
from functions.messages.request_decoder import (
    LINES_TYPE,
    check_length,
    common_fields,
    distinct,
    options_of,
    parse_uri,
)
from functions.messages.trace_context import HEADER, TraceContext
from model.text import quoted, whole

LINE_FIELDS = ("request_id", "image", "image_uri", "filename", HEADER)
"""The fields that a line may have. The request options are attributes of the message, for all of its images."""

RESPONSES = "responses"
"""The attribute that says how a message with several images is answered."""

TOGETHER = "batch"
"""The value of RESPONSES for lists of responses. Without the attribute each image has a response of its own."""

_MAX_MARKS = 500
"""Maximum commas and opening brackets of a line, which keeps its nesting and its number of values small. The base64 of
an image has neither."""

_decode = json.JSONDecoder(object_pairs_hook=distinct).decode

_BOM = b"\xef\xbb\xbf"
_LINE = '{"request_id": "ID", "image": "BASE64"} or {"request_id": "ID", "image_uri": "gs://bucket/object"}'


def encode_line(request_id: str, image: bytes | ObjectRef, filename: str = "") -> bytes:
    """Return the line of one image, without a line break."""
    named = f',"filename":{encode_basestring_ascii(filename)}' if filename else ""
    head = f'{{"request_id":{encode_basestring_ascii(request_id)}{named}'.encode()
    if isinstance(image, ObjectRef):
        return b'%s,"image_uri":%s}' % (head, encode_basestring_ascii(image.uri).encode())
    return b'%s,"image":"%s"}' % (head, binascii.b2a_base64(image, newline=False))


def has_lines(attributes: Mapping[str, str]) -> bool:
    """Whether a message with these attributes has several images."""
    return attributes.get("content_type", "").partition(";")[0].strip().lower() == LINES_TYPE


def decode_lines(envelope: Envelope) -> list[Request | Rejected] | Rejected:
    """Decode the requests of a message in their order, or return why the message is rejected. Never raises."""
    attributes = envelope.attributes
    common, trace = common_fields(envelope, attributes), TraceContext.of(attributes)
    try:
        if (given := attributes.get(RESPONSES, TOGETHER)) != TOGETHER:
            raise InvalidRequest(f"{RESPONSES} is {quoted(given)}; it must be {TOGETHER}, or be left out")
        lines = _lines(envelope.payload)
    except InvalidRequest as exc:
        request_id = bounded_id(attributes.get("request_id") or envelope.id)
        return Rejected(reason=str(exc), request_id=request_id, trace=trace, **common)
    refusal, options = "", None
    try:
        check_length("reply_to", attributes.get("reply_to", ""))
        options = options_of(attributes)
    except InvalidRequest as exc:
        refusal = str(exc)
    decoded: list[Request | Rejected] = []
    for line in lines:
        request_id, filename = line["request_id"], line.get("filename")
        # Only an image that is rejected can have an id that is too long, or a name that is no text.
        common["request_id"] = bounded_id(request_id)
        common["trace"] = TraceContext.of(_texts(line)) or trace if HEADER in line else trace
        image: bytes | ObjectRef | None = None
        try:
            image = _image(line)
            _check(line)
            if options is None:
                raise InvalidRequest(refusal)
        except InvalidRequest as exc:
            decoded.append(Rejected(reason=str(exc), source=_source(filename, image), **common))
        else:
            decoded.append(Request(image=image, options=options, source=_source(filename, image), **common))
    return decoded


def _lines(payload: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a message, each with a request_id of its own. Raises InvalidRequest."""
    # The lines are counted before they are copied.
    texts = payload.removeprefix(_BOM).split(b"\n", 4 * MAX_LINES)
    texts = [text for text in texts if text and not text.isspace()]
    if not texts:
        raise InvalidRequest(f"the message has no line; each image needs one: {_LINE}")
    if len(texts) > MAX_LINES:
        raise InvalidRequest(f"the message has more than {MAX_LINES} lines; at most {MAX_LINES} are allowed")
    seen: dict[str, int] = {}
    lines = []
    for number, text in enumerate(texts, 1):
        line = _object(text, number)
        request_id = line.get("request_id")
        if not isinstance(request_id, str) or not request_id:
            found = quoted(request_id) if "request_id" in line else "missing"
            raise InvalidRequest(f"request_id of line {number} is {found}; each line must have one, as text")
        line["request_id"] = request_id = whole(request_id)
        if (earlier := seen.setdefault(bounded_id(request_id), number)) != number:
            raise InvalidRequest(
                f"request_id of line {number} is {quoted(request_id)}, as of line {earlier}; each line must have an id "
                "of its own"
            )
        lines.append(line)
    return lines


def _object(text: bytes, number: int) -> dict[str, Any]:
    if (marks := sum(map(text.count, (b",", b"[", b"{")))) > _MAX_MARKS:
        raise InvalidRequest(f"line {number} has {marks:,} commas and brackets; at most {_MAX_MARKS} are allowed")
    try:
        line = _decode(text.decode())
    except InvalidRequest as exc:
        raise InvalidRequest(f"line {number}: {exc}") from None
    except (ValueError, RecursionError):
        line = None
    if not isinstance(line, dict):
        raise InvalidRequest(f"line {number} is not a JSON object; each line must look like {_LINE}")
    return line


def _image(line: Mapping[str, Any]) -> bytes | ObjectRef:
    """The image of a line. Raises InvalidRequest."""
    if ("image" in line) == ("image_uri" in line):
        found = "both image and image_uri" if "image" in line else "neither image nor image_uri"
        raise InvalidRequest(f"the line has {found}; it must look like {_LINE}")
    if "image_uri" in line:
        return parse_uri(line["image_uri"])
    given = line["image"]
    try:
        image = binascii.a2b_base64(given, strict_mode=True)
    except (ValueError, TypeError):
        raise InvalidRequest(f"image is {quoted(given)}; it must be the base64 of an image file") from None
    if not image:
        raise InvalidRequest("image is empty; it must be the base64 of an image file")
    return image


def _check(line: Mapping[str, Any]) -> None:
    """Check the other fields of a line. Raises InvalidRequest."""
    for name, value in line.items():
        if name not in LINE_FIELDS:
            raise InvalidRequest(
                f"the line has the field {quoted(name)}; allowed are {', '.join(LINE_FIELDS)}. Request options are "
                "attributes of the message"
            )
        if name in ("filename", HEADER) and not isinstance(value, str):
            raise InvalidRequest(f"{name} is {quoted(value)}; it must be text")
    check_length("request_id", line["request_id"])


def _source(filename: object, image: bytes | ObjectRef | None) -> Source:
    uri = image.uri if isinstance(image, ObjectRef) else None
    return Source(whole(filename) if isinstance(filename, str) else None, uri)


def _texts(line: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in line.items() if isinstance(value, str)}
