"""signature.json: each wrong field is named with its value and the allowed values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.preprocessing.signature_schema import parse_signature
from model.training.importing.recipe import PIXELS, recipe

SHIPPED = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist"
SCALE = {"op": "scale", "factor": 1.0, "offset": 0.0}
SIZE = {"width": 28, "height": 28}


def body(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((SHIPPED / "signature.json").read_text())
    return made | changes


def steps(*given: Any, **more: Any) -> dict[str, Any]:
    return body(preprocessing={"steps": list(given), **more})


def test_the_shipped_signature_is_read() -> None:
    signature = parse_signature(body(), ("a", "b"))
    assert (signature.height, signature.channels, signature.dtype, signature.labels) == (28, 1, "float32", ("a", "b"))


def test_the_meaning_of_the_outputs_is_read_and_defaults_to_probabilities() -> None:
    assert parse_signature(body(), ("a", "b")).outputs == "probabilities"
    assert parse_signature(body(outputs="probability"), ("a", "b")).outputs == "probability"


def test_a_multi_label_signature_has_a_threshold() -> None:
    assert not parse_signature(body(multi_label=False), ("a", "b")).multi_label
    given = parse_signature(body(outputs="multilabel-probabilities", multi_label=True, threshold=0.3), ("a",))
    assert (given.multi_label, given.threshold) == (True, 0.3)
    earlier = parse_signature(body(outputs="multilabel-logits"), ("a",))  # before the fields existed
    assert (earlier.multi_label, earlier.threshold) == (True, 0.5)


@pytest.mark.parametrize("pixels", PIXELS)
@pytest.mark.parametrize("framing", ["crop", "squash"])
def test_the_recipes_of_the_import_are_read(pixels: str, framing: str) -> None:
    parse_signature(body(channels=3, preprocessing=recipe(pixels, 28, 28, framing=framing)), ("a",))


def nested(depth: int) -> dict[str, Any]:
    return {"op": "unless_size", **SIZE, "steps": [nested(depth - 1)]} if depth else {"op": "grayscale"}


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], r"signature\.json is \[\]; it must be an object"),
        ({}, r"signature\.json: height is missing; it must be a whole number from 1 to 4096"),
        (body(height=0), "height is 0; it must be a whole number from 1 to 4096"),
        (body(height=28.0), r"height is 28\.0; it must be a whole number"),
        (body(width=True), "width is True; it must be a whole number"),
        (body(width=10**9), "width is 1000000000; it must be"),
        (body(width=10**400), r"width is 1000.*\.\.\..*; it must be"),
        (body(channels=4), "channels is 4; it must be one of: 1, 3"),
        (body(channels=[1]), r"channels is \[1\]"),
        (body(dtype=None), "dtype is None; it must be one of: float32, uint8, int8"),
        (body(more=1), "'more' is not known; allowed are: height, width"),
        (
            body(outputs="softmax"),
            "outputs is 'softmax'; it must be one of: probabilities, logits, multilabel-probabilities, ",
        ),
        (body(outputs=None), "outputs is None; it must be one of"),
        (body(outputs="logit"), "outputs is 'logit', which needs two labels; labels.txt has 1"),
        (body(multi_label=True), "multi_label is True; with the outputs 'probabilities' it must be False"),
        (body(outputs="multilabel-logits", multi_label=False), "multi_label is False; with the outputs 'multilabel-l"),
        (body(multi_label="yes"), "multi_label is 'yes'; it must be true or false"),
        (
            body(threshold=0.5),
            "threshold is 0.5; only a multi-label model has one, and the outputs are 'probabilities'",
        ),
        (body(outputs="multilabel-logits", threshold=1), "threshold is 1; it must be a number above 0 and below 1"),
        (body(outputs="multilabel-logits", threshold=True), "threshold is True; it must be a number above 0"),
        (body(reference=[]), r"reference is \[\]; it must be an object"),
        (steps(SCALE, decode_size="112"), "decode_size is '112'; it must be a whole number from 1 to 65535"),
        (steps(SCALE, decode_size=None), "decode_size is None"),
        (steps(SCALE, decode_size=0), "decode_size is 0"),
        (steps(SCALE, decode_size=NAN), "decode_size is nan"),
        (steps(SCALE, size=1), "preprocessing: 'size' is not known; allowed are: steps, decode_size"),
        (body(preprocessing={}), "preprocessing: steps is missing; it must be a list of steps"),
        (body(preprocessing={"steps": {}}), r"preprocessing: steps is \{\}; it must be a list"),
        (steps(), "steps is empty; it must end with scale"),
        (steps({"op": "grayscale"}), "ends with grayscale; it must end with scale"),
        (steps(SCALE, SCALE), r"steps\[0\] is scale; it must be the last of all steps"),
        (steps({"op": "unless_size", **SIZE, "steps": [SCALE]}, SCALE), r"steps\[0\]\.steps\[0\] is scale"),
        (steps({"op": "polish"}, SCALE), r"steps\[0\] is \{'op': 'polish'\}; its op must be one of: grayscale, rgb"),
        (steps({"op": ["rgb"]}, SCALE), r"its op must be one of"),
        (steps("rgb", SCALE), r"steps\[0\] is 'rgb'; its op must be one of"),
        (steps({"op": "rgb", "gamma": 2}, SCALE), r"\(rgb\): 'gamma' is not known; allowed are: no parameters"),
        (steps({"op": "resize", "width": 28}, SCALE), r"steps\[0\] \(resize\): height is missing"),
        (steps({"op": "resize", "width": 10**9, "height": 10**9}, SCALE), "width is 1000000000; it must be a whole"),
        (steps({"op": "resize", **SIZE, "resampling": "best"}, SCALE), "resampling is 'best'; it must be one of: near"),
        (steps({"op": "resize", **SIZE, "resampling": ["box"]}, SCALE), r"resampling is \['box'\]"),
        (steps({"op": "fit", "size": -1}, SCALE), "size is -1"),
        (steps({"op": "fit", "size": 4097}, SCALE), "size is 4097"),
        (steps({"op": "centre", "width": 28, "height": "28"}, SCALE), "height is '28'"),
        (steps({"op": "crop", **SIZE, "share": 0}, SCALE), r"share is 0; it must be a number from 0\.01 to 1"),
        (steps({"op": "crop", **SIZE, "share": NAN}, SCALE), "share is nan"),
        (
            steps({"op": "crop", **SIZE, "share": 1, "resampling": "cubic"}, SCALE),
            "resampling is 'cubic'; it must be one of",
        ),
        (steps({"op": "isolate", "level": 115, "gain": INFINITE}, SCALE), "gain is inf; it must be a number from -100"),
        (steps({"op": "isolate", "level": 256, "gain": 1}, SCALE), "level is 256"),
        (steps({"op": "trim", "threshold": "16"}, SCALE), "threshold is '16'"),
        (steps({"op": "sharpen", "radius": 1e9}, SCALE), "radius is 1000000000.0"),
        (steps(SCALE | {"factor": NAN}), "factor is nan; it must be a number from -1e"),
        (steps(SCALE | {"factor": -INFINITE}), "factor is -inf"),
        (steps(SCALE | {"factor": 1e300}), r"factor is 1e\+300"),
        (steps(SCALE | {"factor": 0}), "factor is 0; it must be .* not 0"),
        (steps(SCALE | {"factor": True}), "factor is True"),
        (steps(SCALE | {"factor": []}), r"factor is \[\]"),
        (steps(SCALE | {"factor": [[1.0]]}), r"factor is \[\[1\.0\]\]"),
        (steps(SCALE | {"factor": [1.0, 1.0, 1.0]}), r"factor of scale is .* one for each of 1 channels"),
        (steps(SCALE | {"offset": None}), "offset is None"),
        (steps(SCALE | {"offset": [10**400]}), "offset is "),
        (steps({"op": "scale", "factor": 1.0}), r"\(scale\): offset is missing"),
        (steps(nested(4), SCALE), "is nested 4 steps deep; at most 3 are allowed"),
        (steps(nested(90), SCALE), "is nested 4 steps deep"),
        (steps(*[{"op": "rgb"}] * 32, SCALE), "holds 33 steps; at most 32 are allowed"),
    ],
)
def test_wrong_values_are_named(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        parse_signature(given, ("a",))
    assert len(str(refusal.value)) < 400
