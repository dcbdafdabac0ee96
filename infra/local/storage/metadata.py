"""Rules for an object's metadata, from wherever they come: which text and how much of it the cloud accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra.local.storage.answer import Refusal

# Fields that downloads send as headers.
_HEADER_FIELDS = ("contentType", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage")
_MODES = ("Unlocked", "Locked")
# Bytes of all keys and values of an object's custom metadata.
_MOST_CUSTOM = 8192
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(data: Mapping[str, Any]) -> None:
    """Refuse text that cannot be a header, and custom metadata that are not strings."""
    for field in _HEADER_FIELDS:
        if (value := data.get(field)) is not None:
            _check_text(field, value)
    if (time := data.get("customTime")) is not None:
        check_time("customTime", time)
    if (retention := data.get("retention")) is not None:
        _check_retention(retention)
    custom = data.get("metadata")
    if custom is None:
        return
    if not isinstance(custom, Mapping):
        raise Refusal(400, f"metadata must be an object of strings, not {custom!r}", "invalid")
    for key, value in custom.items():
        _check_text("A key of metadata", key)
        if not isinstance(value, str):
            raise Refusal(400, f"metadata[{key!r}] must be a string, not {value!r}", "invalid")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in custom.items())
    if size > _MOST_CUSTOM:
        raise Refusal(400, f"metadata may have {_MOST_CUSTOM} bytes of keys and values, not {size}", "invalid")


def check_time(field: str, value: object) -> datetime:
    """A time in RFC 3339. Refuses other values."""
    try:
        time = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        time = datetime.min
    if time.tzinfo is None:
        raise Refusal(400, f"{field} must be a time such as 2030-01-31T12:00:00Z, not {value!r}", "invalid")
    return time


def check_custom_time(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Refuse to remove an object's customTime, or to make it earlier."""
    if not (was := before.get("customTime")) or was == (time := after.get("customTime")):
        return
    if time is None or check_time("customTime", time) < check_time("customTime", was):
        raise Refusal(400, f"customTime cannot be removed or made earlier than {was}", "invalid")


def _check_retention(retention: object) -> None:
    if not isinstance(retention, Mapping) or retention.get("mode") not in _MODES:
        raise Refusal(400, f"retention must have a mode, {' or '.join(_MODES)}, and a retainUntilTime", "invalid")
    check_time("retention.retainUntilTime", retention.get("retainUntilTime"))


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or _CONTROL.search(value):
        raise Refusal(400, f"{field} must be a string without control characters, not {value!r}", "invalid")
