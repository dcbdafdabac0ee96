"""Message decoders and codecs on random input: only documented errors are raised, and a response can be written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.messages.contract import (
    Envelope,
    Error,
    Model,
    Response,
    Source,
    Timing,
    decode_response,
    encode_response,
)
from model.labels import Prediction
from tests.fault.targets import TARGETS, request

TEXT = st.text(max_size=300)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["request_id", "top_k", "reply_to", "expires_at", "model", "filename", "explain"])
    | st.sampled_from(["eventType", "bucketId", "objectId", "objectGeneration"])
    | TEXT,
    st.sampled_from(["OBJECT_FINALIZE", "true", "0", "9" * 5000, "٣", "9999-12-31T23:59:59-23:59"]) | TEXT,
    max_size=8,
)
BODIES = st.binary(max_size=200) | st.sampled_from(
    [
        b'{"image_uri": "gs://b/o#1"}',
        b'{"image_uri": "gs://bucket/o#' + b"9" * 5000 + b'"}',
        b'{"size": "' + b"9" * 5000 + b'"}',
        b'{"size": 0, "metadata": {"top_k": 3}}',
        b'{"metadata": [], "size": {}}',
        b"{" * 99,
    ]
)


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_found_by_fuzzing_are_handled(name: str) -> None:
    function, seeds = TARGETS[name]
    for seed in seeds:
        for data in (seed, seed[:-1], seed[: len(seed) // 2], seed * 2, b""):
            function(data)


@pytest.mark.parametrize("name", TARGETS)
def test_random_bytes_are_handled(name: str) -> None:
    function, seeds = TARGETS[name]

    @settings(max_examples=150)
    @given(st.sampled_from(seeds), st.integers(0, 400), st.binary(max_size=30))
    def check(seed: bytes, at: int, noise: bytes) -> None:
        at = min(at, len(seed))
        function(seed[:at] + noise + seed[at + len(noise) :])

    check()


@settings(max_examples=400)
@given(TEXT.filter(bool), BODIES, ATTRIBUTES)
def test_any_envelope_gets_a_response(message_id: str, data: bytes, attributes: dict[str, str]) -> None:
    request(Envelope(message_id, data, attributes))


@pytest.mark.parametrize("escaped", [True, False])
def test_lone_surrogates_reach_no_response(escaped: bool) -> None:
    half = "\ud800"
    body = {"image_uri": f"gs://b/{half}", "explain": half, "metadata": {"reply_to": half, "model": half, half: half}}
    data = json.dumps(body, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    request(Envelope("m", data, {}))
    request(Envelope("m", data, {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "o"}))


SCORES = st.floats(0, 1)
RESPONSES = st.builds(
    Response,
    TEXT,
    st.lists(st.builds(Prediction, TEXT, SCORES), max_size=3).map(tuple),
    st.none() | st.builds(Error, TEXT, TEXT),
    st.none() | st.builds(Model, TEXT, TEXT, TEXT, TEXT),
    st.builds(Source, st.none() | TEXT, st.none() | TEXT),
    st.builds(Timing, SCORES, SCORES, SCORES, SCORES, SCORES),
    st.integers(0, 99),
    TEXT,
)


@settings(max_examples=200)
@given(RESPONSES)
def test_a_decoded_response_equals_the_encoded_one(response: Response) -> None:
    assert decode_response(encode_response(response)) == response
