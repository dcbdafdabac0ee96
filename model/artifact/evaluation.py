"""The kept evaluation of an artifact, evaluation.json: how good the model is on labelled images.

`python -m model evaluate --save` and the export of a training run write it; the page shows it. It affects no
prediction, so the manifest does not list it, and it names the digest that it is about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model.artifact.manifest import MAX_TEXT_BYTES, parse_json
from model.errors import ArtifactError
from model.text import quoted

SCHEMA_VERSION = 1

KEPT = (
    "model",
    "version",
    "digest",
    "engine",
    "images",
    "accuracy",
    "top_k",
    "macro",
    "classes",
    "confusion",
    "calibration",
)
"""The fields of `evaluate --json` that are kept: those of the model, without speeds of the machine and paths."""

_FIGURES = "precision", "recall", "f1"


def encode_evaluation(found: Mapping[str, Any], data: str) -> bytes:
    """The content of the file, from the object of `evaluate --json` and the name of the labelled images.

    Raises ArtifactError when it is larger than a small file of an artifact may be: with thousands of labels.
    """
    body = {"schema_version": SCHEMA_VERSION, "data": data, **{name: found[name] for name in KEPT}}
    body["skipped"] = len(found["skipped"])
    encoded = (json.dumps(body) + "\n").encode()
    if len(encoded) > MAX_TEXT_BYTES:
        raise ArtifactError(
            f"the evaluation with its matrix has {len(encoded):,} bytes; at most {MAX_TEXT_BYTES:,} are allowed"
        )
    return encoded


def parse_evaluation(content: bytes, digest: str, name: str) -> dict[str, Any]:
    """Parse the file, which messages call `name`. Raises ArtifactError for one of another model, or a damaged one."""
    body = parse_json(content, name)
    try:
        if body["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {quoted(body['schema_version'])}; it must be {SCHEMA_VERSION}")
        if body["digest"] != digest:
            raise ValueError(
                f"it is about {quoted(body['digest'])}, and the model is {digest}; evaluate the model again"
            )
        _check(body)
    except (KeyError, TypeError, AttributeError) as exc:
        raise ArtifactError(
            f"{name} lacks a field or has one of another type ({exc}); evaluate the model again"
        ) from None
    except ValueError as exc:
        raise ArtifactError(f"{name}: {exc}") from None
    return dict(body)


def _check(body: Mapping[str, Any]) -> None:
    """Raise ValueError unless the figures can be shown: shares from 0 to 1, and a square matrix of counts."""
    labels, counts = body["confusion"]["labels"], body["confusion"]["counts"]
    for text in (*(body[name] for name in ("model", "version", "engine", "data")), *labels):
        if not isinstance(text, str):
            raise ValueError(f"{quoted(str(text))} must be text")
    for name in ("images", "skipped"):
        _count(name, body[name])
    _share("accuracy", body["accuracy"])
    _share("calibration.error", body["calibration"]["error"])
    for name, figures in {"macro": body["macro"], **body["classes"]}.items():
        for key in _FIGURES:
            _share(f"{key} of {name}", figures[key], is_optional=True)
    if set(body["classes"]) != set(labels) or len(counts) != len(labels):
        raise ValueError("classes and confusion must have the same labels")
    for row in counts:
        if len(row) != len(labels):
            raise ValueError("the rows of confusion.counts must have a number for each label")
        for value in row:
            _count("confusion.counts", value)


def _count(name: str, value: object) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {quoted(str(value))}; it must be a whole number from 0")


def _share(name: str, value: Any, *, is_optional: bool = False) -> None:
    if value is None and is_optional:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 <= value <= 1):  # which NaN is not either
        raise ValueError(f"{name} is {quoted(str(value))}; it must be a number from 0 to 1")
