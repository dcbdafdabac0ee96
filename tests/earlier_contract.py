"""The decoder of responses in release 1.0.0, as clients have it that were not updated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.messages.contract import Error, Model, Response, Source, Timing
from functions.messages.json_fields import binary, field_of, number, texts
from functions.messages.trace_context import TraceContext
from model.labels import Explanation, Prediction


def decode_response(data: bytes, attributes: Mapping[str, str] | None = None) -> Response:
    """Decode the JSON of a response. Raises only ValueError."""
    body: dict[str, Any] = json.loads(data)
    source, timing = field_of(body, "source", dict), field_of(body, "timing_ms", dict)
    model, error = (field_of(body, name, dict, type(None)) for name in ("model", "error"))
    why = field_of({"explanation": None} | body, "explanation", dict, type(None))
    response = Response(
        field_of(body, "request_id", str),
        tuple(Prediction(field_of(p, "label", str), number(p, "score")) for p in field_of(body, "predictions", list)),
        Error(*texts(error, "code", "message")) if error is not None else None,
        Model(*texts(model, "name", "version", "digest", "engine")) if model is not None else None,
        Source(*(field_of(source, name, str, type(None)) for name in ("filename", "image_uri"))),
        Timing(*(number(timing, name) for name in ("queue", "fetch", "decode", "predict", "total"))),
        field_of(body, "delivery_attempt", int),
        field_of(body, "completed_at", str),
        (attributes or {}).get("reply_to"),
        Explanation(field_of(why, "label", str), field_of(why, "method", str), binary(why, "png")) if why else None,
        TraceContext.of(attributes or {}),
    )
    if field_of(body, "status", str) != response.status:
        raise ValueError("status")
    return response
