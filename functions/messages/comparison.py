"""Comparisons: what the served model and a shadow say about one request, and their JSON on the comparison topic.

Standard library only, so that clients may import it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from functions.messages.contract import RESPONSE_LIMIT, Response, encode_response, response_of
from functions.messages.json_fields import field_of, json_of
from model.text import quoted

SCHEMA_VERSION = 1

COMPARISON_LIMIT = 2 * RESPONSE_LIMIT + 10_000
"""Maximum bytes of a comparison that is decoded: two responses, the request id and the alias."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The response to one request, `served`, and the response that the shadow `alias` makes of the same request.

    Nobody receives `shadow` as a response.
    """

    request_id: str
    alias: str
    served: Response
    shadow: Response


def encode_comparison(comparison: Comparison) -> bytes:
    """Return the comparison's JSON. infra/schemas/comparison.json describes it."""
    request_id, alias = (json.dumps(text).encode() for text in (comparison.request_id, comparison.alias))
    return b'{"schema_version":%d,"request_id":%s,"alias":%s,"served":%s,"shadow":%s}' % (
        SCHEMA_VERSION,
        request_id,
        alias,
        encode_response(comparison.served),
        encode_response(comparison.shadow),
    )


def comparison_attributes(comparison: Comparison) -> dict[str, str]:
    """Return the message attributes of a comparison. Subscriptions filter by them."""
    attributes = {"request_id": comparison.request_id, "alias": comparison.alias}
    if comparison.served.model:
        attributes["model"] = comparison.served.model.name
    return attributes | (comparison.served.trace.attributes if comparison.served.trace else {})


def decode_comparison(data: bytes) -> Comparison:
    """Decode the JSON of `encode_comparison`. Raises only ValueError, which names the wrong field."""
    body = json_of(data, COMPARISON_LIMIT, "a comparison")
    if (version := field_of(body, "schema_version", int)) != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {quoted(version)}; it must be {SCHEMA_VERSION}")
    request_id, alias = field_of(body, "request_id", str), field_of(body, "alias", str)
    if not alias:
        raise ValueError("alias is empty; it must be the alias of the shadow")
    served, shadow = (_response(body, name, request_id) for name in ("served", "shadow"))
    return Comparison(request_id, alias, served, shadow)


def _response(body: object, name: str, request_id: str) -> Response:
    """Decode one of the two responses, which must be to the comparison's request."""
    field = field_of(body, name, dict)
    try:
        response = response_of(field)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"{name}: {exc}") from None
    if response.request_id != request_id:
        raise ValueError(f"{name}: request_id is {quoted(response.request_id)}; it must be {quoted(request_id)}")
    return response
