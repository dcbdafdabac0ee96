"""Lists of responses: one message with the responses to several images (responses=batch), and its JSON.

Standard library only, so that clients may import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from functions.messages.contract import (
    KIND,
    RESPONSE_LIMIT,
    SCHEMA_VERSION,
    Envelope,
    Response,
    decode_response,
    encode_json,
    encode_response,
    response_body,
    response_of,
)
from functions.messages.json_fields import field_of, json_of
from model.text import quoted

BATCH = "batch"
"""The value of the attribute `kind` of a list."""

LIST_BYTES = 3_000_000
"""Maximum bytes of a list; more responses make another one. Pub/Sub takes 10 MB, but Google's client library on an
emulator receives no message above 4 MiB."""

_LIST_LIMIT = LIST_BYTES + RESPONSE_LIMIT
"""Maximum bytes of a list that is decoded."""

_BEGIN, _END = b'{"schema_version":%d,"responses":[' % SCHEMA_VERSION, b"]}"


def encode_list(responses: Sequence[Response]) -> bytes:
    """Return the JSON of one list, whatever its size. infra/schemas/response_batch.json describes it."""
    return encode_json({"schema_version": SCHEMA_VERSION, "responses": list(map(response_body, responses))})


def encode_lists(responses: Sequence[Response]) -> Iterator[bytes]:
    """Yield the JSON of one list, or of several with at most LIST_BYTES each."""
    whole = encode_list(responses)
    if len(whole) <= LIST_BYTES:
        yield whole
        return
    texts, size = list[bytes](), len(_BEGIN) + len(_END)
    for text in map(encode_response, responses):
        if texts and size + len(text) + 1 > LIST_BYTES:
            yield _joined(texts)
            texts, size = [], len(_BEGIN) + len(_END)
        texts.append(text)
        size += len(text) + 1
    yield _joined(texts)


def _joined(texts: Sequence[bytes]) -> bytes:
    return b"%s%s%s" % (_BEGIN, b",".join(texts), _END)


def list_attributes(envelope: Envelope, reply_to: str | None) -> dict[str, str]:
    """Return the attributes of the lists that answer a message. Subscriptions filter by them."""
    attributes = {KIND: BATCH, "request_id": envelope.attributes.get("request_id") or envelope.id}
    return attributes | {"reply_to": reply_to} if reply_to else attributes


def decode_responses(data: bytes, attributes: Mapping[str, str]) -> list[Response]:
    """Decode a message of the response topic: a list, or the response to one image. Raises only ValueError."""
    if attributes.get(KIND) != BATCH:
        return [decode_response(data, attributes)]
    body = json_of(data, _LIST_LIMIT, "a list of responses")
    if (version := field_of(body, "schema_version", int)) != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {quoted(version)}; it must be {SCHEMA_VERSION}")
    return [response_of(each, attributes) for each in field_of(body, "responses", list)]
