"""The aliases of a model: which version each names, and which share of the requests it gets. The file aliases.json.

All aliases of a model are in one file, so that a worker reads one consistent state and a promotion is one write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from model.artifact.manifest import parse_json
from model.errors import ArtifactError, RegistryError
from model.registry.names import check_alias, check_version
from model.text import quoted

ALIASES = "aliases.json"
SCHEMA_VERSION = 1

STABLE, CANDIDATE = "stable", "candidate"
"""The alias that is served unless another one is named, and the one that is to become it."""

KEPT = 10
"""Earlier versions of an alias that are kept for a rollback."""

_DIGEST = "sha256:"


@dataclass(frozen=True, slots=True)
class Target:
    """A version of a model, and the digest that its artifact must have."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias. `previous`: its earlier targets, the latest first.

    `percent`: the share of the model's requests that it gets as a canary, 0 to 100; at 0 it is loaded and gets none;
    None: it is no canary. `shadow`: whether it scores a copy of each request, for comparison only.
    """

    target: Target
    percent: float | None = None
    shadow: bool = False
    changed_at: str = ""
    previous: tuple[Target, ...] = ()

    def moved(self, target: Target, changed_at: str) -> Alias:
        """The alias at another target. A canary gets no request and a shadow copies none until that is set again."""
        percent = None if self.percent is None else 0.0
        kept = (self.target, *self.previous)[:KEPT] if target != self.target else self.previous
        return Alias(target, percent, False, changed_at, kept)

    def rolled_back(self, changed_at: str, version: str = "") -> Alias:
        """The alias at its latest earlier target, or at the latest that was this version; later ones are forgotten.

        As in `moved`, a canary and a shadow pause. Raises RegistryError when there is no such target.
        """
        if not self.previous:
            raise RegistryError("there is no earlier version to roll back to; alias set names any version")
        known = [target.version for target in self.previous]
        if version and version not in known:
            raise RegistryError(
                f"its earlier versions are {', '.join(known)}, and not {version}; alias set names any version"
            )
        place = known.index(version) if version else 0
        return replace(
            self.moved(self.previous[place], changed_at), previous=self.previous[place + 1 :], changed_at=changed_at
        )


Aliases = Mapping[str, Alias]


@dataclass(frozen=True, slots=True)
class AliasFile:
    """The content of aliases.json. `deleting`: versions that are being deleted, which no alias may name any more."""

    aliases: dict[str, Alias]
    deleting: frozenset[str] = frozenset()


def canaries(aliases: Aliases, served: str) -> dict[str, float]:
    """The canaries next to the alias that is served, and the percentage of each, sorted by name."""
    return {
        name: alias.percent for name, alias in sorted(aliases.items()) if name != served and alias.percent is not None
    }


def shadows(aliases: Aliases, served: str) -> list[str]:
    """The shadows next to the alias that is served, sorted by name."""
    return [name for name, alias in sorted(aliases.items()) if name != served and alias.shadow]


def encode_aliases(file: AliasFile) -> bytes:
    """The content of aliases.json. Raises RegistryError for percentages that sum to more than 100."""
    _check_sum(file.aliases)
    body: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "aliases": {name: _encoded(alias) for name, alias in sorted(file.aliases.items())},
    }
    if file.deleting:
        body["deleting"] = sorted(file.deleting)
    return (json.dumps(body, indent=1) + "\n").encode()


def parse_aliases(data: bytes, name: str) -> AliasFile:
    """Parse aliases.json, which messages call `name`. Raises RegistryError: nothing unknown is ignored."""
    try:
        body = parse_json(data, name)
    except ArtifactError as exc:
        raise RegistryError(str(exc)) from None
    listed = body.get("aliases") if isinstance(body, dict) else None
    if not isinstance(listed, dict) or body.get("schema_version") != SCHEMA_VERSION:
        raise RegistryError(f"{name} must be an object with schema_version {SCHEMA_VERSION} and aliases")
    try:
        _check_fields(body, ("schema_version", "aliases", "deleting"))
        found = {check_alias(key): _decoded(value) for key, value in listed.items()}
        _check_sum(found)
        return AliasFile(found, _versions(body.get("deleting", [])))
    except RegistryError as exc:
        raise RegistryError(f"{name}: {exc}") from None


def check_percent(value: object) -> float:
    """Return a percentage of requests. Raises RegistryError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 100:
        return float(value)
    raise RegistryError(f"percent is {quoted(value)}; it must be a number from 0 to 100")


def _check_sum(aliases: Aliases) -> None:
    percents = {name: alias.percent for name, alias in sorted(aliases.items()) if alias.percent}
    if (total := round(math.fsum(percents.values()), 6)) > 100:
        shown = " and ".join(f"{name} {percent:g}" for name, percent in percents.items())
        raise RegistryError(f"the percentages are {shown}, which sum to {total:g}; at most 100 are allowed")


def _encoded(alias: Alias) -> dict[str, Any]:
    return {
        "version": alias.target.version,
        "digest": alias.target.digest,
        "percent": alias.percent,
        "shadow": alias.shadow,
        "changed_at": alias.changed_at,
        "previous": [{"version": target.version, "digest": target.digest} for target in alias.previous],
    }


def _decoded(value: object) -> Alias:
    found = _object(value, "an alias")
    _check_fields(found, ("version", "digest", "percent", "shadow", "changed_at", "previous"))
    shadow, changed_at, previous = found.get("shadow", False), found.get("changed_at", ""), found.get("previous", [])
    if not isinstance(shadow, bool):
        raise RegistryError(f"shadow is {quoted(shadow)}; it must be true or false")
    if not isinstance(changed_at, str) or not isinstance(previous, list):
        raise RegistryError("changed_at must be a text and previous a list")
    if len(previous) > KEPT:
        raise RegistryError(f"previous has {len(previous):,} versions; at most {KEPT} are allowed")
    percent = None if found.get("percent") is None else check_percent(found["percent"])
    return Alias(
        _target(found), percent, shadow, changed_at, tuple(_target(_object(each, "previous")) for each in previous)
    )


def _versions(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise RegistryError(f"deleting is {quoted(value)}; it must be a list of versions")
    return frozenset(map(check_version, value))


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RegistryError(f"{what} is {quoted(value)}; it must be an object with version and digest")
    return value


def _target(found: Mapping[str, Any]) -> Target:
    version, digest = (found.get(field.name) for field in fields(Target))
    if not isinstance(version, str) or not isinstance(digest, str) or not digest.startswith(_DIGEST):
        raise RegistryError(f"the version is {quoted(version)} and the digest {quoted(digest)}; both must be texts")
    return Target(check_version(version), digest)


def _check_fields(found: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for name in found:
        if name not in allowed:
            raise RegistryError(f"it has the field {quoted(name)}; allowed are {', '.join(allowed)}")
