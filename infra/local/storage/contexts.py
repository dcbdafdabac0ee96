"""Object contexts: key-value pairs of an object by which listings are filtered (Google Cloud, "Object contexts")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.local.storage.answer import Refusal
from infra.local.storage.store import Row

# Contexts of an object, and bytes of a key or a value.
_MOST = 50
_LONGEST = 256
_TEXT = re.compile(r"[^\W_][^'\"\\/]*")
_FILTER = re.compile(r'(?P<no>-|NOT\s+)?contexts\."(?P<key>[^"]+)"\s*(?::\s*\*|=\s*"(?P<value>[^"]*)")')


def of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The custom contexts of an object, by key."""
    contexts = data.get("contexts") or {}
    custom = contexts.get("custom") if isinstance(contexts, Mapping) else None
    if not isinstance(custom or {}, Mapping) or not all(isinstance(each, Mapping) for each in (custom or {}).values()):
        raise Refusal(400, 'contexts must look like {"custom": {"KEY": {"value": "VALUE"}}}', "invalid")
    return custom or {}


def patched(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a patch, in which an empty context, and an empty map of them, mean a removal."""
    if not isinstance(asked.get("contexts"), Mapping) or "custom" not in asked["contexts"]:
        return dict(asked)
    custom = asked["contexts"]["custom"]
    kept = {key: each or None for key, each in custom.items()} if isinstance(custom, Mapping) else custom
    return {**asked, "contexts": {"custom": kept or None}}


def settled(data: Mapping[str, Any], before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The fields with checked contexts and their times. A context without a value is removed."""
    if "contexts" not in data:
        return dict(data)
    others = {name: value for name, value in data.items() if name != "contexts"}
    found, old = {}, of(before)
    for key, given in of(data).items():
        if "value" not in given:
            continue
        _check(key, given["value"])
        was = old.get(key, {})
        updated = was.get("updateTime", now) if was.get("value") == given["value"] else now
        found[key] = {"value": given["value"], "createTime": was.get("createTime", now), "updateTime": updated}
    if len(found) > _MOST:
        raise Refusal(400, f"An object may have at most {_MOST} contexts, not {len(found)}", "invalid")
    return {**others, "contexts": {"custom": found}} if found else others


def merged(rows: Iterable[Row]) -> dict[str, Any]:
    """The field `contexts` of an object composed of others: their contexts, of equal keys the last one's."""
    custom = {key: value for row in rows for key, value in of(row.data).items()}
    return {"contexts": {"custom": custom}} if custom else {}


def matching(text: str) -> Callable[[Row], bool]:
    """The test of a listing's `filter`."""
    match = _FILTER.fullmatch(text.strip())
    if not match:
        reason = (
            f'filter must look like contexts."KEY":* or contexts."KEY"="VALUE", or that with a - before, not {text!r}'
        )
        raise Refusal(400, reason, "invalid")
    key, value, wanted = match["key"], match["value"], not match["no"]

    def matches(row: Row) -> bool:
        there = of(row.data).get(key)
        return (there is not None and value in (None, there["value"])) == wanted

    return matches


def _check(key: str, value: object) -> None:
    for text in (key, value):
        if not isinstance(text, str) or not _TEXT.fullmatch(text) or len(text.encode()) > _LONGEST:
            reason = (
                f"must begin with an alphanumeric character, have at most {_LONGEST} bytes, and no quotes or slashes"
            )
            raise Refusal(400, f"The key and the value of a context {reason}, not {text!r}", "invalid")
    if key.startswith("goog"):
        raise Refusal(400, f"The key of a context cannot begin with goog, as {key!r} does", "invalid")
