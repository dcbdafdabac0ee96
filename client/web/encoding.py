"""JSON of megabytes, encoded in a thread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_DEPTH = 3
"""Levels whose members are encoded one by one: those of a row of a matrix in a reply."""


def encoded(value: Any) -> bytes:
    """Return a value as JSON. `json` lets no other thread run while it encodes, so it gets small parts.

    Raises ValueError for numbers that JSON does not have.
    """
    return "".join(_parts(value, _DEPTH)).encode()


def _parts(value: Any, depth: int) -> Iterator[str]:
    if depth and isinstance(value, Mapping):
        for number, (name, each) in enumerate(value.items()):
            yield f"{',' if number else '{'}{json.dumps(name)}:"
            yield from _parts(each, depth - 1)
        yield "}" if value else "{}"
    elif depth and isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield "," if number else "["
            yield from _parts(each, depth - 1)
        yield "]" if value else "[]"
    else:
        yield json.dumps(value, allow_nan=False, separators=(",", ":"))
