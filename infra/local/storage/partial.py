"""Partial responses: the query parameter `fields` chooses what a JSON response holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from infra.local.storage.answer import Refusal

# The chosen fields of an object, each with the choice inside it; None chooses everything.
_Choice = Mapping[str, "_Choice | None"]
_TOKEN = re.compile(r"\s*([\w*.-]+|[(),/])")


def chosen(whole: Mapping[str, Any], fields: str) -> dict[str, Any]:
    """The part of a response that `fields` chooses, such as `nextPageToken,items(name,acl/role)`."""
    tokens, at = list[str](), 0
    while at < len(fields.rstrip()):
        if not (match := _TOKEN.match(fields, at)):
            raise _refusal(fields)
        tokens.append(match[1])
        at = match.end()
    choice = _read(tokens, fields)
    if tokens:
        raise _refusal(fields)
    found = _pick(whole, choice)
    return found if isinstance(found, dict) else {}


def _read(tokens: list[str], fields: str) -> _Choice:
    """Take a list of paths from the tokens."""
    choice: dict[str, _Choice | None] = {}
    while True:
        name, inner = _path(tokens, fields)
        before = choice.get(name, {})
        choice[name] = None if inner is None or before is None else {**before, **inner}
        if not tokens or tokens[0] != ",":
            return choice
        tokens.pop(0)


def _path(tokens: list[str], fields: str) -> tuple[str, _Choice | None]:
    name = tokens.pop(0) if tokens else ""
    if name in ("", "(", ")", ",", "/"):
        raise _refusal(fields)
    if tokens and tokens[0] == "/":
        tokens.pop(0)
        deeper, inner = _path(tokens, fields)
        return name, {deeper: inner}
    if tokens and tokens[0] == "(":
        tokens.pop(0)
        inner = _read(tokens, fields)
        if not tokens or tokens.pop(0) != ")":
            raise _refusal(fields)
        return name, inner
    return name, None


def _pick(value: Any, choice: _Choice | None) -> Any:
    if choice is None:
        return value
    if isinstance(value, list):
        return [_pick(each, choice) for each in value]
    if not isinstance(value, Mapping):
        return value
    named = {name: _pick(value[name], choice[name]) for name in value if name in choice}
    return {name: _pick(value[name], choice["*"]) for name in value} | named if "*" in choice else named


def _refusal(fields: str) -> Refusal:
    return Refusal(400, f"fields must look like nextPageToken,items(name,size), not {fields!r}", "invalidParameter")
