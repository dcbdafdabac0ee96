"""Preconditions: whether a request may proceed, given the current object or bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.storage.answer import Refusal
from infra.local.storage.request import Request
from infra.local.storage.store import Row

_NUMBERS = frozenset({f"if{kind}{match}Match" for kind in ("Generation", "Metageneration") for match in ("", "Not")})
_MISMATCH = "A precondition of the request does not hold for the object"


def check(given: Mapping[str, str], there: Row | None, *, reads: bool = False) -> None:
    """Refuse (412, or 304 for a read) unless generation, metageneration and etag match the preconditions.

    `there`: None means that there is no object, which has generation 0. `given` holds the headers If-Match and
    If-None-Match as `ifMatch` and `ifNoneMatch`.
    """
    for name, value in given.items():
        if name in _NUMBERS and not value.isdecimal():
            raise Refusal(400, f"{name} must be a whole number, not {value!r}", "invalid")
    generation = str(there.generation) if there else "0"
    metageneration = str(there.data["metageneration"]) if there else None
    if given.get("ifGenerationMatch", generation) != generation:
        raise Refusal(412, _MISMATCH, "conditionNotMet")
    if "ifMetagenerationMatch" in given and given["ifMetagenerationMatch"] != metageneration:
        raise Refusal(412, _MISMATCH, "conditionNotMet")
    if "ifMatch" in given and not _names(given["ifMatch"], there):
        raise Refusal(412, _MISMATCH, "conditionNotMet")
    if (
        given.get("ifGenerationNotMatch") == generation
        or (there and given.get("ifMetagenerationNotMatch") == metageneration)
        or ("ifNoneMatch" in given and _names(given["ifNoneMatch"], there))
    ):
        raise Refusal(304 if reads else 412, _MISMATCH, "conditionNotMet")


def check_version(request: Request, there: Row, fields: Mapping[str, Any]) -> None:
    """Refuse (412) a change of another metageneration than the one that the query or a patch's body names."""
    body = fields.get("metageneration") if request.method == "PATCH" else None
    named = request.query.get("metageneration") or body
    if named is not None:
        check({"ifMetagenerationMatch": str(named)}, there)


def check_source(given: Mapping[str, str], there: Row) -> None:
    """Check a copy's source object by the parameters named `ifSource...`."""
    check({name.replace("ifSource", "if"): value for name, value in given.items() if "ifSource" in name}, there)


def _names(etags: str, there: Row | None) -> bool:
    return there is not None and (etags == "*" or there.etag in [each.strip().strip('"') for each in etags.split(",")])
