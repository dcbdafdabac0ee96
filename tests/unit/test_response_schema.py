"""infra/schemas/response.json describes exactly what the worker publishes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from functions.errors import PERMANENT, UNAVAILABLE, code_of
from functions.messages.contract import (
    Error,
    Model,
    Response,
    Source,
    Timing,
    decode_response,
    encode_response,
    encode_time,
    response_attributes,
)
from model.labels import Explanation, Prediction

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "infra" / "schemas" / "response.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

MODEL = Model("fashion-mnist", "1", f"sha256:{'0' * 64}", "litert")
OK = Response(
    "a",
    (Prediction("Sneaker", 0.9971), Prediction("Sandal", 0.0012)),
    None,
    MODEL,
    Source("shoe.jpg", "gs://bucket/shoe.jpg#1"),
    Timing(12.0, 0.5, 1.1, 0.6, 2.2),
    1,
    "2026-11-21T09:30:00.125Z",
    "desk",
    Explanation("Sneaker", "class_activation", b"png"),
)
SEVERAL = replace(OK, labels=("Sneaker", "Bag"))
FAILED = Response("b", (), Error("invalid_image", "not an image"), None, completed_at="2026-11-21T09:30:00.125Z")

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
milliseconds = st.floats(0, 1e7).map(lambda value: round(value, 2))
predictions = st.builds(Prediction, texts, st.floats(0, 1).map(lambda value: round(value, 4)))
errors = st.builds(Error, st.sampled_from([*map(lambda kind: code_of(kind("x")), PERMANENT), UNAVAILABLE]), texts)
models = st.builds(
    Model, texts, texts, st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}"), texts
)
explanations = st.builds(
    Explanation, texts, st.sampled_from(["class_activation", "occlusion"]), st.binary(min_size=1, max_size=15_000)
)
common = {
    "request_id": texts,
    "source": st.builds(Source, st.none() | texts, st.none() | texts),
    "timing_ms": st.builds(Timing, milliseconds, milliseconds, milliseconds, milliseconds, milliseconds),
    "delivery_attempt": st.integers(0, 100),
    "completed_at": st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(encode_time),
    "reply_to": st.none() | texts,
}
answered = st.builds(
    Response,
    predictions=st.lists(predictions, min_size=1, max_size=5).map(tuple),
    model=models,
    explanation=st.none() | explanations,
    labels=st.none() | st.lists(texts, max_size=5).map(tuple),
    features=st.none() | st.integers(1, 4_096).map(lambda count: bytes(2 * count)),
    **common,
)
refused = st.builds(Response, error=errors, model=st.none() | models, **common)


def test_the_schema_is_a_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(answered | refused)
def test_every_response_validates_and_is_decoded_unchanged(response: Response) -> None:
    body, attributes = encode_response(response), response_attributes(response)

    VALIDATOR.validate(json.loads(body))
    assert decode_response(body, attributes) == response


@given(answered | refused)
def test_attributes_agree_with_the_body(response: Response) -> None:
    body, attributes = json.loads(encode_response(response)), response_attributes(response)

    assert attributes["request_id"] == body["request_id"]
    assert attributes["status"] == body["status"]
    assert attributes.get("model") == (body["model"] and body["model"]["name"])
    assert attributes.get("reply_to") == response.reply_to
    assert set(attributes) <= {"request_id", "status", "model", "reply_to"}


def test_every_code_is_in_the_schema() -> None:
    codes = {code_of(kind("x")) for kind in PERMANENT} | {UNAVAILABLE}

    assert set(SCHEMA["properties"]["error"]["properties"]["code"]["enum"]) == codes


def _objects(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the objects are in a body, the body itself first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if isinstance(value, dict) else []
    return found + [deeper for key, part in inner for deeper in _objects(part, (*path, key))]


@pytest.mark.parametrize("response", [OK, SEVERAL, FAILED], ids=["ok", "multi-label", "error"])
def test_extra_and_missing_fields_are_refused(response: Response) -> None:
    body = json.loads(encode_response(response))
    paths = _objects(body)
    assert len(paths) >= 4
    for path in paths:
        changed = copy.deepcopy(body)
        place = changed
        for key in path:
            place = place[key]
        for name in list(place):
            kept = place.pop(name)
            assert not VALIDATOR.is_valid(changed), f"{name} at {path} may be left out"
            place[name] = kept
        place["surprise"] = None
        assert not VALIDATOR.is_valid(changed), f"a surprise at {path} passes"


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"request_id": ""},
        {"status": "fine"},
        {"predictions": None},
        {"predictions": []},
        {"predictions": [{"label": "Sneaker", "score": 1.1}]},
        {"error": {"code": "invalid_image", "message": "but answered"}},
        {"model": None},
        {"model": {**json.loads(encode_response(OK))["model"], "digest": "md5:0"}},
        {"source": None},
        {"timing_ms": {"queue": -1, "fetch": 0, "decode": 0, "predict": 0, "total": 0}},
        {"delivery_attempt": "1"},
        {"completed_at": ""},
        {"explanation": {"label": "Sneaker", "method": "guess", "png": "cG5n"}},
        {"explanation": {"label": "Sneaker", "method": "occlusion", "png": "x" * 20_001}},
        {"completed_at": "2026-11-21T09:30:00+01:00"},
        {"multi_label": None},
        {"labels": None},
        {"labels": ["Sneaker"]},
        {"multi_label": True, "labels": [7]},
        {"multi_label": True, "labels": ["a"] * 101},
    ],
    ids=lambda change: next(iter(change)),
)
def test_wrong_values_are_refused(change: dict[str, Any]) -> None:
    body = json.loads(encode_response(OK))
    VALIDATOR.validate(body)

    assert not VALIDATOR.is_valid(body | change)


def test_the_schema_can_become_a_bigquery_table() -> None:
    """BigQuery has records, repeated fields and null: one type a field, or that type and null, and no list of lists."""

    def walk(schema: dict[str, Any], inside_list: bool = False) -> None:
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        (kind,) = set(types) - {"null"}
        assert "anyOf" not in schema and "oneOf" not in schema
        if kind == "array":
            assert types == ["array"] and not inside_list, "a list is never null and never in a list"
            walk(schema["items"], inside_list=True)
        elif kind == "object":
            assert schema["additionalProperties"] is False
            assert set(schema["properties"]) - set(schema["required"]) == ({"training"} if schema is SCHEMA else set())
            for part in schema["properties"].values():
                walk(part)

    walk(SCHEMA)
