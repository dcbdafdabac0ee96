"""Which model is served, and the cards of models: from the registry or the artifact of the worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from client.gcp import UsageError
from client.text import printable
from client.web.registry import PageRegistry
from client.web.settings import Settings
from client.web.worker_state import objects_of, read_ready, text_of
from model.artifact import SHIPPED
from model.errors import ArtifactError
from model.registry.aliases import STABLE
from model.registry.card import Card, card_of_artifact, card_of_version
from model.registry.listing import list_versions
from model.registry.names import ModelRef, parse_ref
from model.text import quoted

T = TypeVar("T")

_KEPT_S = 20.0
"""Seconds for which what was read is shown again: aliases move rarely, and each open page asks."""

_MOST_KEPT = 100
"""Cards that are kept."""

_ADVICE = "set REGISTRY and MODELS, or ARTIFACT, as the worker has them, and start the page again"


class ModelCards:
    """All methods block, and may be called from any thread. They raise ArtifactError and Google's exceptions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models = [name.strip() for name in settings.models.split(",") if name.strip()]
        self._registry = PageRegistry(settings.registry)
        self._artifact_place = PageRegistry(settings.artifact or str(SHIPPED))
        self._changing = threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}

    def choices(self) -> list[dict[str, Any]]:
        """Return the models of the registry: each alias and version with its `ref`, the served models first.

        Empty without a registry. `served`: whether the worker's MODELS name it.
        """
        return self._remembered("choices", lambda: list(self._listed())) if self._settings.registry else []

    def served(self) -> dict[str, Any]:
        """Return the card of the served model; where it cannot be found, `unknown`, a sentence about what to set."""
        try:
            return self.card()
        except (UsageError, ArtifactError) as exc:
            return {"unknown": printable(str(exc))}

    def card(self, ref: str = "") -> dict[str, Any]:
        """Return a card of the registry, or by default of the model that is served.

        `served`: whether the worker says that it serves this digest; None where it says nothing. Raises UsageError for
        a model that cannot be found.
        """
        worker = self._remembered("worker", self._worker)
        if not ref and (named := self._served(worker)):
            ref = str(named)
        if ref and not self._settings.registry:
            raise UsageError(
                f"the model is {quoted(ref)}, and without a registry there is only the served one; {_ADVICE}"
            )
        made = self._remembered(f"card {ref}", lambda: self._read(ref)) if ref else self._artifact(worker)
        return {"ref": ref, "worker": worker or None, **made, "served": _is_served(made["digest"], worker)}

    def _listed(self) -> Iterator[dict[str, Any]]:
        served = [parse_ref(name) for name in self._models]
        with self._registry.opened() as registry:
            for name in dict.fromkeys([*(ref.name for ref in served), *registry.names()]):
                own = next((ref.alias or STABLE for ref in served if ref.name == name), "")
                aliases = registry.aliases(name)
                for alias in sorted(aliases, key=lambda each: (each != own, each)):
                    found = aliases[alias]
                    about = {"percent": found.percent, "shadow": found.shadow, "served": alias == own}
                    yield {"ref": f"{name}@{alias}", "version": found.target.version, **about}
                for each in list_versions(registry, name):
                    yield {"ref": f"{name}@{each.version}", "version": each.version}

    def _served(self, worker: dict[str, Any]) -> ModelRef | None:
        """The model of the registry that answers requests which name none; None without a registry."""
        if not self._settings.registry:
            return None
        if self._models:
            return parse_ref(self._models[0])
        if not worker:
            raise UsageError(f"the page does not know which model of the registry is served: {_ADVICE}")
        return ModelRef(worker["model"], version=worker["version"])

    def _read(self, ref: str) -> dict[str, Any]:
        with self._registry.opened() as registry:
            return _to_json(card_of_version(registry, parse_ref(ref)))

    def _read_artifact(self) -> dict[str, Any]:
        with self._artifact_place.opened() as place:
            return _to_json(card_of_artifact(place))

    def _artifact(self, worker: dict[str, Any]) -> dict[str, Any]:
        """The card of ARTIFACT. Without it, that of the shipped artifact if the worker serves this one, or else what
        the worker says. Raises UsageError where the model is unknown."""
        address = self._settings.artifact
        if not address and not worker:
            raise UsageError(f"the page does not know the served model: {_ADVICE}")
        found = self._remembered("artifact", self._read_artifact)
        if address or found["digest"] == worker["digest"]:
            return found
        return {
            "name": worker["model"],
            "version": worker["version"],
            "digest": worker["digest"],
            "parameters": None,
            "engines": [{"name": worker["engine"]}],
            "labels": [],
            "evaluation": None,
            "problem": f"the page does not know its labels and its evaluation: {_ADVICE}",
        }

    def _worker(self) -> dict[str, Any]:
        """Return what the worker's /ready says about its default model, and `digests`, those of all that it serves.

        Empty where there is no worker over HTTP, or it does not say it.
        """
        ready = read_ready(self._settings)
        if ready is None:
            return {}
        texts = {name: text_of(ready, name) for name in ("model", "version", "digest", "engine", "device")}
        return texts | {
            "digests": [texts["digest"], *(text_of(each, "digest") for each in objects_of(ready, "models"))]
        }

    def _remembered(self, key: str, read: Callable[[], T]) -> T:
        with self._changing:
            at, kept = self._kept.get(key, (0.0, None))
        if kept is not None and time.monotonic() - at < _KEPT_S:
            value: T = kept
            return value
        value = read()
        with self._changing:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = time.monotonic(), value
        return value


def _is_served(digest: str, worker: dict[str, Any]) -> bool | None:
    return digest in worker["digests"] if worker else None


def _to_json(card: Card) -> dict[str, Any]:
    manifest = card.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "parameters": manifest.parameters,
        "engines": [dict(each) for each in card.engines],
        "labels": list(card.labels),
        "evaluation": dict(card.evaluation) if card.evaluation else None,
        "problem": printable(card.problem),
    }
