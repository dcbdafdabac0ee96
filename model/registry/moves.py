"""Changes of one alias: name another version, roll back, delete. Workers follow when they read the aliases again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from model.errors import RegistryError
from model.registry.aliases import STABLE, Alias, Target, check_percent
from model.registry.names import check_alias, check_version
from model.registry.registry import Registry, now

FOLLOW_S = 30
"""Seconds after which workers have read the aliases again, with the default of their setting ALIASES_MAX_AGE_S."""


@dataclass(frozen=True, slots=True)
class Move:
    """A change of an alias. `before` or `after` is None where there was none, or is none any more.

    `aliases`: all aliases of the model after it.
    """

    alias: str
    before: Alias | None
    after: Alias | None
    aliases: dict[str, Alias]


def set_alias(
    registry: Registry, name: str, alias: str, version: str, percent: float | None = None, shadow: bool | None = None
) -> Move:
    """Let an alias name a version, which must be complete. Raises RegistryError.

    `percent` makes it a canary with this share of the requests, `shadow` a shadow. Without them it keeps what it was
    at the same version. At another version a canary gets no request and a shadow copies none.
    """
    check_alias(alias)
    check_version(version)
    if percent is not None:
        check_percent(percent)
    if alias == STABLE and (percent is not None or shadow):
        raise RegistryError(
            f"{STABLE} is what workers serve, so it takes no percent and is no shadow; use another alias, such as "
            "candidate"
        )
    before: Alias | None = None

    def edit(aliases: dict[str, Alias]) -> dict[str, Alias]:
        nonlocal before
        before = aliases.get(alias)
        target = registry.version(name, version).target  # again at each try, because gc may have deleted it
        after = _naming(before, target)
        after = replace(
            after,
            percent=after.percent if percent is None else float(percent),
            shadow=after.shadow if shadow is None else shadow,
            changed_at=now(),
        )
        return aliases | {alias: after}

    aliases = registry.edit_aliases(name, (alias,), edit)
    return Move(alias, before, aliases[alias], aliases)


def _naming(before: Alias | None, target: Target) -> Alias:
    if before is None:
        return Alias(target)
    return before if before.target == target else before.moved(target, "")


def roll_back(registry: Registry, name: str, alias: str = STABLE, version: str = "") -> Move:
    """Let an alias name the version that it named before, or the last one with this version. Raises RegistryError.

    A canary gets no request and a shadow copies none until that is set again.
    """
    check_alias(alias)
    if version:
        check_version(version)

    def change(before: Alias) -> Alias:
        try:
            after = before.rolled_back(now(), version)
        except RegistryError as exc:
            raise RegistryError(f"{name}@{alias} names {before.target.version}; {exc}") from None
        if registry.version(name, after.target.version).target != after.target:
            raise RegistryError(
                f"{name} {after.target.version} has another digest than when {alias} named it; choose another version "
                "with --to, or use alias set"
            )
        return after

    return _change(registry, name, alias, change)


def delete_alias(registry: Registry, name: str, alias: str, force: bool = False) -> Move:
    """Delete an alias, but `stable` only with `force`: workers that serve it could not start. Raises RegistryError."""
    check_alias(alias)
    if alias == STABLE and not force:
        raise RegistryError(f"workers that serve {name} could not start without {STABLE}; --force deletes it anyway")
    return _change(registry, name, alias, lambda before: None)


def _change(registry: Registry, name: str, alias: str, change: Callable[[Alias], Alias | None]) -> Move:
    """Change an alias that exists; None from `change` deletes it. Raises RegistryError."""
    before: Alias | None = None

    def edit(aliases: dict[str, Alias]) -> dict[str, Alias]:
        nonlocal before
        before = aliases.get(alias)
        if before is None:
            raise registry.no_alias(name, alias, aliases)
        after = change(before)
        others = {key: value for key, value in aliases.items() if key != alias}
        return others | {alias: after} if after else others

    aliases = registry.edit_aliases(name, (alias,), edit)
    return Move(alias, before, aliases.get(alias), aliases)
