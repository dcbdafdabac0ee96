"""Preconditions: whether a request may go on, given the object or the bucket that is there now."""

from __future__ import annotations

from collections.abc import Mapping

from infra.local.storage.answer import Refusal
from infra.local.storage.store import Row

_WORDS = "The object is not the one that the request's conditions ask for"


def check(given: Mapping[str, str], there: Row | None, *, reads: bool = False) -> None:
    """Refuse with 412, or 304 for a read, what is bound to another generation, metageneration or etag.

    `there`: None stands for no object, which has generation 0. The headers If-Match and If-None-Match are in `given`
    as `ifMatch` and `ifNoneMatch`.
    """
    generation = str(there.generation) if there else "0"
    metageneration = str(there.data["metageneration"]) if there else None
    if given.get("ifGenerationMatch", generation) != generation:
        raise Refusal(412, _WORDS, "conditionNotMet")
    if "ifMetagenerationMatch" in given and given["ifMetagenerationMatch"] != metageneration:
        raise Refusal(412, _WORDS, "conditionNotMet")
    if "ifMatch" in given and not _names(given["ifMatch"], there):
        raise Refusal(412, _WORDS, "conditionNotMet")
    if (
        given.get("ifGenerationNotMatch") == generation
        or (there and given.get("ifMetagenerationNotMatch") == metageneration)
        or ("ifNoneMatch" in given and _names(given["ifNoneMatch"], there))
    ):
        raise Refusal(304 if reads else 412, _WORDS, "conditionNotMet")


def check_source(given: Mapping[str, str], there: Row) -> None:
    """The same for the object that a copy reads, by the parameters that are named for it."""
    check({name.replace("ifSource", "if"): value for name, value in given.items() if "ifSource" in name}, there)


def _names(etags: str, there: Row | None) -> bool:
    return there is not None and (etags == "*" or there.etag in [each.strip().strip('"') for each in etags.split(",")])
