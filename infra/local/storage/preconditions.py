"""Preconditions and generations: whether a request may go on, given the object that is there now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Query = Mapping[str, Sequence[str]]

_NOT_MODIFIED, _NOT_FOUND, _FAILED = 304, 404, 412
_OF_SOURCE = {
    "sourceGeneration": "generation",
    "ifSourceGenerationMatch": "ifGenerationMatch",
    "ifSourceGenerationNotMatch": "ifGenerationNotMatch",
    "ifSourceMetagenerationMatch": "ifMetagenerationMatch",
    "ifSourceMetagenerationNotMatch": "ifMetagenerationNotMatch",
}


def verdict(query: Query, current: Mapping[str, Any] | None, *, reads: bool = False) -> int | None:
    """The status that refuses a request (304, 404 or 412), or None when it may go on.

    `current`: the resource of the live object or the bucket; None: there is none, and the request would create it.
    `query` holds the headers If-Match and If-None-Match as `ifMatch` and `ifNoneMatch`.
    """
    if current is None:
        return _absent(query)
    generation, metageneration = str(current.get("generation", "")), str(current["metageneration"])
    if _given(query, "generation") not in (None, generation):
        return _NOT_FOUND
    if _given(query, "ifGenerationMatch") not in (None, generation):
        return _FAILED
    if _given(query, "ifMetagenerationMatch") not in (None, metageneration):
        return _FAILED
    if "ifMatch" in query and not _names(query["ifMatch"][0], current):
        return _FAILED
    if "ifNoneMatch" in query and _names(query["ifNoneMatch"][0], current):
        return _NOT_MODIFIED if reads else _FAILED
    same = _given(query, "ifGenerationNotMatch") == generation
    if same or _given(query, "ifMetagenerationNotMatch") == metageneration:
        return _NOT_MODIFIED if reads else _FAILED
    return None


def source_verdict(query: Query, current: Mapping[str, Any]) -> int | None:
    """The same for the object that a copy reads, by the parameters that are named for it."""
    return verdict({_OF_SOURCE[name]: value for name, value in query.items() if name in _OF_SOURCE}, current)


def _absent(query: Query) -> int | None:
    """Generation 0 stands for no object."""
    wanted = _given(query, "ifGenerationMatch")
    if "ifMatch" in query:
        return _FAILED
    if wanted not in (None, "0") or "ifMetagenerationMatch" in query or _given(query, "ifGenerationNotMatch") == "0":
        return _FAILED
    return None


def _names(etags: str, current: Mapping[str, Any]) -> bool:
    return etags == "*" or current.get("etag") in [each.strip().strip('"') for each in etags.split(",")]


def _given(query: Query, name: str) -> str | None:
    return query[name][0] if name in query else None
