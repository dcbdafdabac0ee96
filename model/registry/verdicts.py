"""Verdicts on two versions of a model, kept in the registry for a promotion: NAME/comparisons/STABLE..CANDIDATE.json.

There is one file for each pair of digests, and the latest verdict replaces the one before. This module knows the file;
client/verdicts reaches the verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from model.artifact.manifest import parse_json
from model.errors import ArtifactError, RegistryError
from model.registry.aliases import Target
from model.registry.names import check_model_name, check_version
from model.registry.registry import Registry
from model.registry.storage import NEW, Changed
from model.text import quoted

FOLDER = "comparisons"
SCHEMA_VERSION = 1

BETTER, NO_WORSE, WORSE, NOT_ENOUGH_DATA = VERDICTS = ("better", "no worse", "worse", "not enough data")

_PROMOTABLE = frozenset({BETTER, NO_WORSE})
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")

# How often a write is tried when another command saves a verdict on the same versions at the same time.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison says about `candidate`, measured against `stable`.

    `compared`: what was compared, in words. `counts`: numbers of requests by name. `thresholds`: by name; None was
    not applied. `reasons`: one sentence for each threshold. `made_at`: RFC 3339.
    """

    name: str
    stable: Target
    candidate: Target
    verdict: str
    compared: str
    counts: Mapping[str, int]
    thresholds: Mapping[str, float | None]
    reasons: tuple[str, ...]
    made_at: str

    @property
    def may_be_promoted(self) -> bool:
        """Whether the candidate may become stable."""
        return self.verdict in _PROMOTABLE

    @property
    def made(self) -> datetime:
        """The time of the comparison."""
        return datetime.fromisoformat(self.made_at)


def encode_verdict(verdict: Verdict) -> bytes:
    """The content of the file."""
    return (json.dumps({"schema_version": SCHEMA_VERSION, **asdict(verdict)}, indent=1) + "\n").encode()


def parse_verdict(data: bytes, name: str) -> Verdict:
    """Parse the file, which messages call `name`. Raises RegistryError: nothing unknown is ignored."""
    try:
        body = parse_json(data, name)
    except ArtifactError as exc:
        raise RegistryError(str(exc)) from None
    try:
        return _decoded(body)
    except (RegistryError, ValueError) as exc:
        raise RegistryError(f"{name} holds no verdict: {exc}") from None


def save_verdict(registry: Registry, verdict: Verdict) -> str:
    """Keep a verdict, and return the address of its file. Raises RegistryError when a version is not in the registry.

    It replaces an earlier verdict on the same two digests.
    """
    for target in (verdict.stable, verdict.candidate):
        if registry.version(verdict.name, target.version).target != target:
            raise RegistryError(
                f"{verdict.name} {target.version} in {registry.address} has another digest than {target.digest}: "
                "the compared model is not the one in the registry"
            )
    path, storage = _path(verdict.name, verdict.stable, verdict.candidate), registry.storage
    for _ in range(_TRIES):
        found = storage.read(path)
        try:
            storage.write(path, encode_verdict(verdict), found.generation if found else NEW)
        except Changed:
            continue
        return f"{registry.address}/{path}"
    raise RegistryError(f"{registry.address}/{path} changes all the time; try again")


def find_verdict(registry: Registry, name: str, stable: Target, candidate: Target) -> Verdict | None:
    """The latest verdict on exactly these two digests, or None. Raises RegistryError when its file is damaged."""
    path = _path(name, stable, candidate)
    stored = registry.storage.read(path)
    if stored is None:
        return None
    address = f"{registry.address}/{path}"
    verdict = parse_verdict(stored.content, address)
    if (verdict.name, verdict.stable.digest, verdict.candidate.digest) != (name, stable.digest, candidate.digest):
        raise RegistryError(f"{address} is about other models: it was copied by hand; compare again")
    return verdict


def _path(name: str, stable: Target, candidate: Target) -> str:
    return f"{check_model_name(name)}/{FOLDER}/{_hexadecimal(stable)}..{_hexadecimal(candidate)}.json"


def _hexadecimal(target: Target) -> str:
    if found := _DIGEST.fullmatch(target.digest):
        return found[1]
    raise RegistryError(f"the digest is {quoted(target.digest)}; it must be sha256: and 64 digits of 0-9 and a-f")


def _decoded(body: Any) -> Verdict:
    names = [field.name for field in fields(Verdict)]
    if not isinstance(body, dict) or set(body) != {"schema_version", *names}:
        raise ValueError(f"it must be an object with schema_version, {', '.join(names)}, and nothing else")
    if body["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {quoted(body['schema_version'])}; it must be {SCHEMA_VERSION}")
    for name in ("name", "verdict", "compared", "made_at"):
        _check(isinstance(body[name], str), name, body[name], "a text")
    _check(body["verdict"] in VERDICTS, "verdict", body["verdict"], f"one of {', '.join(VERDICTS)}")
    _check(_is_time(body["made_at"]), "made_at", body["made_at"], "a time of RFC 3339 with its zone")
    reasons, counts, thresholds = body["reasons"], body["counts"], body["thresholds"]
    _check(isinstance(reasons, list) and all(isinstance(each, str) for each in reasons), "reasons", reasons, "texts")
    _check(_are_numbers(counts, int) and None not in counts.values(), "counts", counts, "whole numbers by name")
    _check(_are_numbers(thresholds, int, float), "thresholds", thresholds, "numbers by name")
    return Verdict(
        check_model_name(body["name"]),
        _target("stable", body["stable"]),
        _target("candidate", body["candidate"]),
        body["verdict"],
        body["compared"],
        counts,
        thresholds,
        tuple(reasons),
        body["made_at"],
    )


def _target(name: str, value: Any) -> Target:
    _check(isinstance(value, dict) and set(value) == {"version", "digest"}, name, value, "a version and a digest")
    for key, text in value.items():
        _check(isinstance(text, str), f"{name}.{key}", text, "a text")
    target = Target(check_version(value["version"]), value["digest"])
    _hexadecimal(target)
    return target


def _check(is_right: bool, name: str, value: object, allowed: str) -> None:
    if not is_right:
        raise ValueError(f"{name} is {quoted(value)}; it must be {allowed}")


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _are_numbers(value: object, *kinds: type) -> bool:
    return isinstance(value, dict) and all(
        each is None or (type(each) in kinds and math.isfinite(each)) for each in value.values()
    )
