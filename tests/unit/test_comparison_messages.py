"""Comparisons of the comparison topic: infra/schemas/comparison.json describes them, and any other JSON is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from functions.messages.comparison import COMPARISON_LIMIT, Comparison, decode_comparison, encode_comparison
from tests.unit.test_mistyped_responses import ABSENT, changed, places, values
from tests.unit.test_response_schema import FAILED, OK, SEVERAL, answered, refused, texts

SCHEMAS = Path(__file__).parents[2] / "infra" / "schemas"
SCHEMA: dict[str, Any] = json.loads((SCHEMAS / "comparison.json").read_text())
RESPONSE = Resource.from_contents(json.loads((SCHEMAS / "response.json").read_text()))
VALIDATOR = Draft202012Validator(
    SCHEMA,
    registry=Registry().with_resource("response.json", RESPONSE),
    format_checker=Draft202012Validator.FORMAT_CHECKER,
)

GOOD = Comparison("a", "candidate", replace(OK, reply_to=None), replace(SEVERAL, reply_to=None))
BODY: dict[str, Any] = json.loads(encode_comparison(GOOD))


def test_the_schema_is_a_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(texts, texts, answered | refused, answered | refused)
def test_every_comparison_validates_and_is_decoded_unchanged(
    request_id: str, alias: str, served: Any, shadow: Any
) -> None:
    sides = (replace(side, request_id=request_id, reply_to=None) for side in (served, shadow))
    comparison = Comparison(request_id, alias, *sides)

    body = encode_comparison(comparison)

    VALIDATOR.validate(json.loads(body))
    assert decode_comparison(body) == comparison


def test_extra_and_missing_fields_are_no_comparison_of_the_schema() -> None:
    VALIDATOR.validate(BODY)
    for name in BODY:
        assert not VALIDATOR.is_valid({key: value for key, value in BODY.items() if key != name}), name
    assert not VALIDATOR.is_valid(BODY | {"surprise": None})
    assert not VALIDATOR.is_valid(BODY | {"shadow": BODY["shadow"] | {"status": "fine"}})


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(list(places(BODY))), values)
def test_any_value_in_any_field_is_decoded_or_refused(place: tuple[str | int, ...], value: object) -> None:
    try:
        comparison = decode_comparison(json.dumps(changed(BODY, place, value)).encode())
    except ValueError as exc:
        assert str(exc)
        return
    assert decode_comparison(encode_comparison(comparison)) == comparison


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("schema_version",), ABSENT, "schema_version is missing"),
        (("schema_version",), 2, "schema_version is '2'; it must be 1"),
        (("request_id",), 7, "request_id is a whole number; it must be text"),
        (("request_id",), "b", "served: request_id is 'a'; it must be 'b'"),
        (("alias",), None, "alias is null; it must be text"),
        (("alias",), "", "alias is empty; it must be the alias of the shadow"),
        (("served",), "x", "served is text; it must be an object"),
        (("shadow",), ABSENT, "shadow is missing"),
        (("served", "predictions", 0, "score"), "0.9", "served: score is text; it must be a number"),
        (("shadow", "timing_ms"), None, "shadow: timing_ms is null; it must be an object"),
        (("shadow", "request_id"), "b", "shadow: request_id is 'b'; it must be 'a'"),
        (
            ("shadow", "error"),
            {"code": "expired", "message": "late"},
            "shadow: status is 'ok'; with this error it must be error",
        ),
    ],
)
def test_a_wrong_field_is_named(place: tuple[str | int, ...], value: object, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        decode_comparison(json.dumps(changed(BODY, place, value)).encode())
    assert str(refusal.value) == said


@pytest.mark.parametrize("data", [b"[" * 100_000, b"1" * 5000, b"x" * (COMPARISON_LIMIT + 1), b"\xff", b"NaN", b"[]"])
def test_oversized_and_invalid_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_comparison(data)


def test_errors_on_both_sides_are_kept() -> None:
    comparison = Comparison("b", "candidate", FAILED, replace(FAILED, model=OK.model))

    assert decode_comparison(encode_comparison(comparison)) == comparison
