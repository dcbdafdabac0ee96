"""Reads the fields of a response's JSON that later versions added.

Standard library only, so that clients may import it.
"""

from __future__ import annotations

from typing import Any

from functions.messages.json_fields import binary, field_of
from model.labels import Explanation
from model.text import quoted


def labels_of(body: dict[str, Any]) -> tuple[str, ...] | None:
    """The labels of an image; None without multi_label. Responses of worker versions before it lack both fields.

    Raises ValueError.
    """
    given: dict[str, Any] = {"multi_label": None, "labels": []} | body
    labels = tuple(field_of({"labels": each}, "labels", str) for each in field_of(given, "labels", list))
    if field_of(given, "multi_label", bool, type(None)):
        return labels
    if labels:
        raise ValueError(f"labels holds {quoted(labels[0])}; without multi_label it must be empty")
    return None


def features_of(body: dict[str, Any]) -> bytes | None:
    """The features of an image. Responses of worker versions before them lack the field.

    Raises ValueError.
    """
    features = None if body.get("features") is None else binary(body, "features")
    if features is not None and (not features or len(features) % 2):
        raise ValueError(f"features has {len(features):,} bytes; it must be float16 numbers")
    return features


def explanation_of(body: object) -> Explanation:
    """The explanation of a response. Raises ValueError."""
    return Explanation(field_of(body, "label", str), field_of(body, "method", str), binary(body, "png"))
