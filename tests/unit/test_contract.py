"""The response contract: encoded responses are decoded unchanged, and invalid ones are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.messages.contract import (
    Error,
    Model,
    Response,
    Source,
    Timing,
    decode_response,
    encode_response,
    response_attributes,
    upload_id,
)
from model.labels import Prediction

text = st.text(st.characters(exclude_categories=["Cs"]))
milliseconds = st.floats(0, 1e9, allow_nan=False)
responses = st.builds(
    Response,
    text,
    st.lists(st.builds(Prediction, text, st.floats(0, 1))).map(tuple),
    st.none() | st.builds(Error, text, text),
    st.none() | st.builds(Model, text, text, text, text),
    st.builds(Source, st.none() | text, st.none() | text),
    st.builds(Timing, milliseconds, milliseconds, milliseconds, milliseconds, milliseconds),
    st.integers(0, 100),
    text,
)


@given(responses)
def test_an_encoded_response_is_decoded_unchanged(response: Response) -> None:
    assert decode_response(encode_response(response)) == response


def test_lists_are_always_present() -> None:
    body = json.loads(encode_response(Response("r", error=Error("expired", "too late"))))
    assert body["predictions"] == [] and body["status"] == "error" and body["model"] is None


def test_attributes_repeat_the_main_fields() -> None:
    response = Response("r", model=Model("m", "1", "sha256:0", "litert"), reply_to="me")
    assert response_attributes(response) == {"request_id": "r", "status": "ok", "reply_to": "me", "model": "m"}
    assert decode_response(encode_response(response), response_attributes(response)).reply_to == "me"


def test_unknown_fields_are_ignored() -> None:
    body = json.loads(encode_response(Response("r")))
    body["timing_ms"]["upload"] = 1.0
    body["explanation"] = None
    assert decode_response(json.dumps(body).encode()) == Response("r")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'"x"', b"null", b'{"request_id": "r"}'])
def test_invalid_responses_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_response(data)


def test_an_upload_request_id_names_bucket_object_and_generation() -> None:
    assert upload_id("b", "o#x", 7) == "b/o#x#7"
    assert len(upload_id("b", "o" * 1000, 7)) == 64
