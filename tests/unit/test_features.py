"""Features in responses: only where they are requested, true to the network, and refused where there are none."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.messages.contract import Envelope, Response, decode_response, encode_response
from functions.messages.request_decoder import decode
from functions.service.models import OneModel, ServedModel
from functions.service.pipeline import Pipeline
from model.artifact.load import load_engine, read_artifact
from model.engines.base import MAX_FEATURES, Engine
from model.engines.litert_features import _place
from model.predictor import Predictor
from tests import earlier_contract
from tests.fakes import MODEL, BrightnessEngine, MemoryObjects
from tests.samples import encoded


@pytest.fixture(scope="module")
def engine(root: Path) -> Iterator[Engine]:
    _, engine = load_engine(read_artifact(root / "model" / "artifacts" / "fashion-mnist"), "litert")
    yield engine
    engine.close()


def responded(engine: Engine, **attributes: str) -> Response:
    pipeline = Pipeline(OneModel(ServedModel(MODEL, Predictor(engine))), MemoryObjects())
    request: Any = decode(Envelope("m1", encoded(), attributes))
    return pipeline.submit(request).result()


def test_the_shipped_artifact_scores_what_its_features_say(engine: Engine) -> None:
    """Logits are a linear function of the features, up to the noise of eight bits; of other numbers they are not."""
    shape = engine.signature.height, engine.signature.width, engine.signature.channels
    images = np.random.default_rng(0).random((400, *shape), np.float32) ** 3
    images *= np.linspace(0.05, 1, 400, dtype=np.float32)[:, None, None, None]
    features = engine.features(images)
    assert features is not None and features.shape == (400, 96) and features.dtype == np.float32
    logits = np.log(np.maximum(engine.score(images), 1e-30)).astype(np.float64)
    logits -= logits.mean(axis=1, keepdims=True)
    known = np.concatenate([features, np.ones((400, 1))], axis=1)
    weights = np.linalg.lstsq(known[:300], logits[:300], rcond=None)[0]
    wrong = known[300:] @ weights - logits[300:]
    assert np.abs(wrong).mean() < 0.1 * np.abs(logits[300:] - logits[:300].mean(axis=0)).mean()
    alone = engine.features(images[7:8])
    assert alone is not None
    np.testing.assert_array_equal(alone[0], features[7])


def test_only_requests_with_features_get_them(engine: Engine) -> None:
    plain, asked = responded(engine), responded(engine, features="true")
    assert plain.features is None and responded(engine, features="false").features is None
    assert asked.features and asked.explanation is None and asked.predictions == plain.predictions
    expected = engine.features(Predictor(engine).prepare(encoded()))
    assert expected is not None
    np.testing.assert_allclose(np.frombuffer(asked.features, "<f2"), expected[0], rtol=1e-3, atol=1e-6)
    both = responded(engine, features="true", explain="true")
    assert (both.features, both.explanation) == (asked.features, responded(engine, explain="true").explanation)


@pytest.mark.parametrize("found", [None, np.full((1, 3), 70_000, np.float32), np.full((1, 3), np.nan, np.float32)])
def test_a_model_without_features_is_named(found: Any) -> None:
    engine = BrightnessEngine()
    engine.found = found
    response = responded(engine, features="true")
    assert response.error and response.error.code == "invalid_request" and response.features is None
    assert response.error.message == (
        "features is true; the model 'fake' has none with the engine fake. The engines litert and savedmodel give "
        "what the last layer takes, if it is dense: at most 4,096 numbers of float16"
    )
    assert responded(engine).predictions, "other requests are answered"


def test_a_wrong_value_is_refused() -> None:
    rejected: Any = decode(Envelope("m1", encoded(), {"features": "yes"}))
    assert rejected.reason == "features is 'yes'; it must be true or false"


def test_features_reach_every_client(engine: Engine) -> None:
    response = responded(engine, features="true")
    body = encode_response(response)
    assert json.loads(body)["schema_version"] == 1
    assert decode_response(body) == response
    earlier = earlier_contract.decode_response(body)
    assert (earlier.predictions, earlier.features) == (response.predictions, None)
    without = json.loads(body)
    del without["features"]
    assert decode_response(json.dumps(without).encode()).features is None, "an earlier worker's response"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("A", "features is not base64"),
        ("", "features has 0 bytes; it must be float16 numbers"),
        (base64.b64encode(b"abc").decode(), "features has 3 bytes"),
        (1, "features is a whole number; it must be text"),
    ],
)
def test_damaged_features_are_refused(value: Any, said: str, engine: Engine) -> None:
    body = json.loads(encode_response(responded(engine, features="true")))
    with pytest.raises(ValueError, match=said):
        decode_response(json.dumps(body | {"features": value}).encode())


def operator(name: str, taken: list[int], made: int) -> dict[str, Any]:
    return {"op_name": name, "inputs": np.array(taken), "outputs": np.array([made])}


def tensors(width: int = 8, edge: int = 1) -> dict[int, dict[str, Any]]:
    shapes = {1: [1, edge, edge, width], 9: [3, 1, 1, width]}
    return {place: {"shape_signature": shape, "shape": shape} for place, shape in shapes.items()} | {
        place: {"shape_signature": [1, 3], "shape": [1, 3]} for place in (0, 2, 3)
    }


POOL, SOFTMAX = operator("MEAN", [0], 1), operator("SOFTMAX", [2], 3)


@pytest.mark.parametrize(
    ("operators", "given", "place"),
    [
        ([POOL, operator("FULLY_CONNECTED", [1, 9], 2), SOFTMAX], tensors(), 1),
        ([POOL, operator("CONV_2D", [1, 9], 2), SOFTMAX], tensors(), 1),
        ([POOL, operator("CONV_2D", [1, 9], 2), SOFTMAX], tensors(edge=2), None),
        ([POOL, operator("FULLY_CONNECTED", [1, 9], 2), SOFTMAX], tensors(MAX_FEATURES + 1), None),
        ([operator("FULLY_CONNECTED", [1, 9], 2), SOFTMAX], tensors(), None),
        ([POOL, operator("ADD", [1, 9], 2), SOFTMAX], tensors(), None),
        ([operator("RESHAPE", [3], 2), SOFTMAX], tensors(), None),
        ([], tensors(), None),
    ],
    ids=["dense", "one pixel", "several pixels", "too wide", "of the pixels", "no last layer", "a circle", "empty"],
)
def test_features_are_what_the_last_layer_takes(
    operators: list[dict[str, Any]], given: dict[int, dict[str, Any]], place: int | None
) -> None:
    assert _place(operators, 3, given) == place
