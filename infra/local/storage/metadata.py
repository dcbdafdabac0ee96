"""Rules for an object's metadata, from wherever they come: which text and how much of it the cloud accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from infra.local.storage.answer import Refusal

# Fields that downloads send as headers.
_HEADER_FIELDS = ("contentType", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(data: Mapping[str, Any]) -> None:
    """Refuse text that cannot be a header, and custom metadata that are not strings."""
    for field in _HEADER_FIELDS:
        if (value := data.get(field)) is not None:
            _check_text(field, value)
    custom = data.get("metadata")
    if custom is None:
        return
    if not isinstance(custom, Mapping):
        raise Refusal(400, f"metadata must be an object of strings, not {custom!r}", "invalid")
    for key, value in custom.items():
        _check_text("A key of metadata", key)
        if not isinstance(value, str):
            raise Refusal(400, f"metadata[{key!r}] must be a string, not {value!r}", "invalid")


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or _CONTROL.search(value):
        raise Refusal(400, f"{field} must be a string without control characters, not {value!r}", "invalid")
