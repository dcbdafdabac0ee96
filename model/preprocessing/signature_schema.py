"""The schema of signature.json: every field and every step of the recipe with its type and range.

Both artifacts and hand-written recipes are checked with it. Unknown fields are rejected.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from model.engines.base import PROBABILITIES, THRESHOLD, Signature
from model.engines.outputs import MEANINGS, SINGLE

DTYPES = ("float32", "uint8", "int8")

# Pixels of an edge of a model's input or of a step's result: 200 MB as three channels of float32.
MAX_EDGE = 4_096

# Steps of a recipe in all, and how deeply steps may be nested.
MAX_STEPS, MAX_DEPTH = 32, 4

# Absolute value of a factor or an offset for pixels. Recipes use some hundreds.
MAX_GAIN = 1e6

# A description of the allowed values, and a test of a value.
Rule = tuple[str, Callable[[Any], bool]]


def _whole(low: int, high: int) -> Rule:
    return f"a whole number from {low} to {high}", lambda value: _is_whole(value) and low <= value <= high


def _number(low: float, high: float) -> Rule:
    return f"a number from {low:g} to {high:g}", lambda value: _is_number(value) and low <= value <= high


def _one_of(*values: Any) -> Rule:
    shown = ", ".join(map(str, values))
    return f"one of: {shown}", lambda value: not isinstance(value, bool | list | dict) and value in values


_EDGE = _whole(1, MAX_EDGE)
_STEPS: Rule = "a list of steps", lambda value: isinstance(value, list)
_GAIN: Rule = (
    f"a number from {-MAX_GAIN:g} to {MAX_GAIN:g}, or one for each channel",
    lambda value: all(_is_number(each) and abs(each) <= MAX_GAIN for each in _each(value)),
)
_FACTOR: Rule = f"{_GAIN[0]}, and not 0", lambda value: _GAIN[1](value) and all(each != 0 for each in _each(value))

_FIELDS: dict[str, Rule] = {
    "height": _EDGE,
    "width": _EDGE,
    "channels": _one_of(1, 3),
    "dtype": _one_of(*DTYPES),
    "preprocessing": ("an object with the recipe's steps", lambda value: isinstance(value, dict)),
}
_MORE_FIELDS: dict[str, Rule] = {
    "outputs": _one_of(*MEANINGS),
    "multi_label": ("true or false", lambda value: isinstance(value, bool)),
    "threshold": ("a number above 0 and below 1", lambda value: _is_number(value) and 0 < value < 1),
    "reference": ("an object", lambda value: isinstance(value, dict)),
}

_SIZE: dict[str, Rule] = {"width": _EDGE, "height": _EDGE}
RESAMPLINGS = "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"
_RESAMPLING = _one_of(*RESAMPLINGS)
_COLOUR: Rule = (
    "a whole number from 0 to 255, or one for each channel",
    lambda value: all(_is_whole(each) and 0 <= each <= 255 for each in _each(value)),
)
_FRAME: dict[str, Rule] = {
    **_SIZE,
    "resize_width": _EDGE,
    "resize_height": _EDGE,
    "fit": _one_of("cover", "contain", "stretch"),
}
_HOW: dict[str, Rule] = {
    "resampling": _RESAMPLING,
    "antialias": ("true or false", lambda value: isinstance(value, bool)),
    "rounding": _one_of("down", "even"),
    "colour": _COLOUR,
}

# The required and the optional parameters of each op.
_OPS: dict[str, tuple[dict[str, Rule], dict[str, Rule]]] = {
    "grayscale": ({}, {}),
    "rgb": ({}, {}),
    "bgr": ({}, {}),
    "unless_size": (_SIZE | {"steps": _STEPS}, {}),
    "isolate": ({"level": _number(0, 255), "gain": _number(-100, 100)}, {}),
    "trim": ({"threshold": _number(0, 255)}, {}),
    "fit": ({"size": _EDGE}, {}),
    "resize": (_SIZE, {"resampling": _RESAMPLING}),
    "crop": (_SIZE | {"share": _number(0.01, 1)}, {"resampling": _RESAMPLING}),
    "frame": (_FRAME, _HOW),
    "sharpen": ({}, {"radius": _number(0, 100), "percent": _number(0, 1000)}),
    "centre": (_SIZE, {}),
    "scale": ({"factor": _FACTOR, "offset": _GAIN}, {}),
}


def parse_signature(body: object, labels: tuple[str, ...]) -> Signature:
    """Parse signature.json. Raises ValueError, which names the field, its value and the allowed values."""
    fields = _checked(body, "signature.json", _FIELDS, _MORE_FIELDS)
    size = fields["height"], fields["width"], fields["channels"]
    outputs = fields.get("outputs", PROBABILITIES)
    if outputs in SINGLE and len(labels) != 2:
        raise ValueError(
            f"signature.json: outputs is {outputs!r}, which needs two labels; labels.txt has {len(labels)}"
        )
    signature = Signature(
        *size, fields["dtype"], labels, fields[_RECIPE], outputs, float(fields.get("threshold", THRESHOLD))
    )
    _check_labels(fields, signature)
    try:
        check_schema(signature)
    except ValueError as exc:
        raise ValueError(f"signature.json: {exc}") from None
    return signature


def _check_labels(fields: Mapping[str, Any], signature: Signature) -> None:
    """Raise ValueError unless multi_label and threshold fit the meaning of the outputs."""
    multi_label = signature.multi_label
    if fields.get("multi_label", multi_label) != multi_label:
        raise ValueError(
            f"signature.json: multi_label is {not multi_label}; with the outputs {signature.outputs!r} it must be "
            f"{multi_label}"
        )
    if "threshold" in fields and not multi_label:
        raise ValueError(
            f"signature.json: threshold is {fields['threshold']}; only a multi-label model has one, and the "
            f"outputs are {signature.outputs!r}"
        )


_RECIPE = "preprocessing"


def check_schema(signature: Signature) -> None:
    """Raise ValueError unless the recipe is valid; the message names the step, the parameter and the allowed values."""
    sizes = {"decode_size": _whole(1, 65_535)}
    recipe = _checked(signature.preprocessing, _RECIPE, {"steps": _STEPS}, sizes)
    steps = recipe["steps"]
    if not steps:
        raise ValueError(f"{_RECIPE}.steps is empty; it must end with scale")
    count = _check_steps(steps, f"{_RECIPE}.steps", MAX_DEPTH)
    if count > MAX_STEPS:
        raise ValueError(f"{_RECIPE}.steps holds {count} steps; at most {MAX_STEPS} are allowed")
    if steps[-1]["op"] != "scale":
        raise ValueError(
            f"{_RECIPE}.steps ends with {steps[-1]['op']}; it must end with scale, its factor and its offset"
        )
    for name in ("factor", "offset"):
        value = steps[-1][name]
        if isinstance(value, list) and len(value) != signature.channels:
            raise ValueError(
                f"{_RECIPE}.steps: {name} of scale is {reprlib.repr(value)}; it must be one number, or one for each of "
                f"{signature.channels} channels"
            )


def _check_steps(steps: Sequence[Any], place: str, depth: int) -> int:
    """Check the steps; returns their number, including nested steps."""
    if not depth:
        raise ValueError(f"{place} is nested {MAX_DEPTH} steps deep; at most {MAX_DEPTH - 1} are allowed")
    count = len(steps)
    for number, step in enumerate(steps):
        where = f"{place}[{number}]"
        op = step.get("op") if isinstance(step, dict) else None
        if not isinstance(op, str) or op not in _OPS:
            raise ValueError(f"{where} is {reprlib.repr(step)}; its op must be one of: {', '.join(_OPS)}")
        needed, more = _OPS[op]
        _checked({name: value for name, value in step.items() if name != "op"}, f"{where} ({op})", needed, more)
        if op == "scale" and (number < len(steps) - 1 or depth < MAX_DEPTH):
            raise ValueError(f"{where} is scale; it must be the last of all steps")
        if "steps" in needed:
            count += _check_steps(step["steps"], f"{where}.steps", depth - 1)
    return count


def _checked(value: object, place: str, needed: Mapping[str, Rule], more: Mapping[str, Rule]) -> Mapping[str, Any]:
    """`value` as an object with all `needed` fields and no others but `more`, each allowed by its rule."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {reprlib.repr(value)}; it must be an object")
    rules = {**needed, **more}
    for name in needed:
        if name not in value:
            raise ValueError(f"{place}: {name} is missing; it must be {needed[name][0]}")
    for name, given in value.items():
        if name not in rules:
            raise ValueError(
                f"{place}: {reprlib.repr(name)} is not known; allowed are: {', '.join(rules) or 'no parameters'}"
            )
        allowed, holds = rules[name]
        if not holds(given):
            raise ValueError(f"{place}: {name} is {reprlib.repr(given)}; it must be {allowed}")
    return value


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) and value else [value]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Whether the value is finite. The test of an integer avoids float, which it may overflow."""
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
