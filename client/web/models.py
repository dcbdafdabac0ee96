"""The models that a request can name: those of the registry, or else those that the worker lists at /ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from client.text import plain
from client.web.registry import PageRegistry
from client.web.settings import Settings
from client.web.worker_state import objects_of, read_ready, text_of
from model.errors import RegistryError
from model.registry.aliases import STABLE
from model.registry.names import parse_ref
from model.registry.registry import Registry
from model.registry.shares import shares

MAX_MODELS = 1000
"""Models, aliases and versions that are offered: more would not be found in a list. Any other one can be typed."""

_MAX_VERSIONS = 20
"""The newest versions of a model that are offered."""

_KEPT_S = 5.0
"""Seconds for which what was found is not looked for again: every open page asks when its list is opened."""

Named = tuple[str, str]
"""What `model` of a request may be, and a few words about it."""


class ServedModels:
    """Looks for the models; callable from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._looking = settings, threading.Lock()
        self._registry = PageRegistry(settings.registry)
        self._found, self._until = dict[str, Any](), 0.0

    def listed(self) -> dict[str, Any]:
        """Return `models`, each with `name` and `about`, the name of the `default`, and `note`, a sentence or "".

        Never raises: where the models cannot be listed, the note says why.
        """
        with self._looking:
            if time.monotonic() > self._until:
                models, default, note = self._look()
                named = [{"name": name, "about": about} for name, about in islice(models, MAX_MODELS)]
                self._found = {"models": named, "default": default, "note": note}
                self._until = time.monotonic() + _KEPT_S
            return self._found

    def _look(self) -> tuple[Iterable[Named], str, str]:
        settings = self._settings
        names = [name.strip() for name in settings.models.split(",") if name.strip()]
        ready = None if settings.registry and names else read_ready(settings)
        if ready and not _serves(ready):
            name = text_of(ready, "model")
            return [(name, f"version {text_of(ready, 'version')}")], name, ""
        if settings.registry:
            try:
                with self._registry.opened() as registry:
                    return _of_registry(registry, names or _serves(ready or {}))
            except Exception as exc:  # Google's clients raise many kinds, and a name can be typed all the same
                return [], "", f"The models are not listed: {_sentence(exc)}."
        if ready:
            return _of_worker(ready), parse_ref(_serves(ready)[0]).name, ""
        if settings.url:
            return [], "", f"The models are not listed: {settings.url} does not say which ones it serves."
        return [], "", "The models are not listed, because REGISTRY is not set."


def _of_registry(registry: Registry, served: list[str]) -> tuple[list[Named], str, str]:
    """Return the models of a registry, those of `served` alone where there are any."""
    names = registry.names()
    refs = [parse_ref(each) for each in served or names]
    found = [_of_model(registry, ref.name, ref.alias or STABLE) for ref in refs]
    others = [name for name in names if name not in {ref.name for ref in refs}]
    note = f"The worker serves none of: {', '.join(others)}." if others else ""
    named = [each for kind in zip(*found, strict=True) for models in kind for each in models]
    return named, refs[0].name if served else "", note if found else f"The registry {registry.address} has no model."


def _of_model(registry: Registry, name: str, served: str) -> tuple[list[Named], list[Named], list[Named]]:
    """Return a model's name, its aliases, and its versions, the newest first."""
    aliases = registry.aliases(name)
    names = [(name, f"{served}, version {aliases[served].target.version}")] if served in aliases else []
    versions = registry.versions(name)[: -_MAX_VERSIONS - 1 : -1]
    return (
        names,
        [
            (f"{name}@{share.alias}", f"version {share.target.version}, {share}".removesuffix(", -"))
            for share in shares(aliases, served)
        ],
        [(f"{name}@{version}", "this version, whatever the aliases name") for version in versions],
    )


def _of_worker(ready: Mapping[str, Any]) -> Iterator[Named]:
    """Yield what a worker with a registry lists. It knows the versions of the models that it has loaded."""
    listed = objects_of(ready, "models")
    versions = {text_of(each, "alias"): text_of(each, "version") for each in listed}
    for ref in _serves(ready):
        name, _, alias = ref.partition("@")
        yield name, f"{alias}, version {versions[ref]}" if ref in versions else alias
    for ref in sorted(versions.keys() - {*_serves(ready), ""}):
        yield ref, f"version {versions[ref]}"


def _serves(ready: Mapping[str, Any]) -> list[str]:
    """The models of a worker with a registry, as NAME@ALIAS, the default first; none where it serves an artifact."""
    found = ready.get("serves")
    return [ref for ref in found if isinstance(ref, str) and ref] if isinstance(found, list) else []


def _sentence(exc: Exception) -> str:
    return (str(exc) if isinstance(exc, RegistryError) else plain(exc)).rstrip(".")
