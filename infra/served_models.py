"""The models of a registry that workers are to serve: each needs its alias before a worker starts.

Used by `make deploy`, before it creates the worker, and by the local twin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from model.artifact import SHIPPED
from model.artifact.load import read_artifact
from model.errors import RegistryError
from model.registry.aliases import STABLE, Alias
from model.registry.names import ModelRef, parse_ref
from model.registry.registry import Registry, now


class AliasesMissing(RegistryError):
    """Aliases that the worker is to serve do not exist; the message has the commands that create them."""


def make_ready(registry: Registry, models: Sequence[str]) -> Iterator[str]:
    """Check that each of `models`, NAME or NAME@ALIAS, has its alias; push the shipped model where it has no version.

    Yields a sentence for what was pushed. Raises AliasesMissing, and RegistryError when the registry cannot be used.
    """
    refs = [parse_ref(model) for model in models]
    missing = []
    for ref in refs:
        alias = ref.alias or STABLE
        if alias in registry.aliases(ref.name):
            continue
        versions = registry.versions(ref.name)
        # A push that was interrupted is completed.
        if ref.name == SHIPPED.name and alias == STABLE and versions in ([], [read_artifact(SHIPPED).version]):
            yield _push_shipped(registry)
        else:
            missing.append((ref, versions))
    if missing:
        raise AliasesMissing(_instructions(registry.address, missing))


def engines(registry: Registry, models: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The engines of the version that each of `models` names now, the fastest first. Raises RegistryError."""
    return {
        model: registry.version(ref.name, registry.target(ref).version).manifest.engines
        for model in models
        for ref in (parse_ref(model),)
    }


def _push_shipped(registry: Registry) -> str:
    version = registry.push(SHIPPED)
    registry.edit_aliases(
        version.name, (STABLE,), lambda aliases: {STABLE: Alias(version.target, changed_at=now())} | aliases
    )
    return f"pushed the shipped model, {version.name} {version.target.version}, as {STABLE} to {registry.address}"


def _instructions(address: str, missing: Iterable[tuple[ModelRef, list[str]]]) -> str:
    lines = []
    for ref, versions in missing:
        alias, version = ref.alias or STABLE, versions[-1] if versions else "VERSION"
        lines.append(f"{address} has no alias {alias} of {ref.name}, which the worker is to serve. Run:")
        if not versions:
            lines.append(f"  predictions model push FOLDER --registry {address}")
        lines.append(f"  predictions model alias set {ref.name} {alias} {version} --registry {address}")
    return "\n".join(lines)
