"""Reads fields of untrusted JSON and checks their types. Raises ValueError, which names the field.

Standard library only, so that clients may import it.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from typing import Any

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def json_of(data: bytes, most: int, what: str) -> Any:
    """Return the JSON of a message, `what` it is and at most `most` bytes. Raises ValueError."""
    if len(data) > most:
        raise ValueError(f"it is over {most:,} bytes, the most that {what} has")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError(f"it is not JSON: {data[:80]!r}") from None


def field_of(holder: object, name: str, *kinds: type) -> Any:
    """Return a field of a JSON object. Its type must be one of `kinds`, which are types that json.loads returns."""
    if not isinstance(holder, dict) or name not in holder:
        raise ValueError(f"{name} is missing")
    value = holder[name]
    if type(value) not in kinds:  # isinstance would accept true as a whole number
        raise ValueError(f"{name} is {_KINDS[type(value)]}; it must be {_KINDS[kinds[0]]}")
    return value


def texts(holder: object, *names: str) -> Iterator[str]:
    """Return several fields that must be text."""
    return (field_of(holder, name, str) for name in names)


def number(holder: object, name: str) -> float:
    """Return a field that must be a finite number in the range of a float."""
    value: float = field_of(holder, name, float, int)
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} is not a finite number")
    return value


def binary(holder: object, name: str) -> bytes:
    """Return the bytes of a field that must be base64."""
    text: str = field_of(holder, name, str)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"{name} is not base64") from None
