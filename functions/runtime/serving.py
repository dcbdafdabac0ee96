"""What a worker serves of one model of a registry, at one time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.runtime.loaded_models import target_of
from functions.runtime.traffic_split import side_of
from functions.service.models import Choice, ServedModel, Shadow, described
from model.registry.aliases import Aliases


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served of one model: its aliases when they were read, and what is loaded of it.

    `canaries`: the percentage of each canary by alias, also of those that cannot be loaded: the split of the requests
    does not depend on what a worker has. `loaded`: canaries and shadows by alias; one whose alias moved to a version
    that cannot be loaded has the version before, for requests that name the alias. `pending`: canaries that no one has
    tried to load yet; the first request for one does.
    """

    aliases: Aliases
    served: ServedModel
    canaries: Mapping[str, float]
    pending: frozenset[str] = frozenset()
    loaded: Mapping[str, ServedModel] = field(default_factory=dict)
    shadows: tuple[Shadow, ...] = ()

    def choice(self, request_id: str) -> Choice | None:
        """The model for a request that names no alias and no version; None when it is not loaded yet."""
        side = side_of(request_id, self.canaries)
        if side in self.pending:
            return None
        return Choice((self.current(side) if side else None) or self.served, shadows=self.shadows)

    def current(self, alias: str) -> ServedModel | None:
        """What is loaded for an alias, if it is the version that the alias names."""
        found = self.loaded.get(alias)
        return found if found and target_of(found) == self.aliases[alias].target else None

    def report(self, name: str, own: str) -> list[dict[str, Any]]:
        """The model `name` at its alias `own` and at the others that are loaded, for GET /ready."""
        others = [
            {"alias": f"{name}@{alias}", **described(served), **self._share(alias)}
            for alias, served in sorted(self.loaded.items())
        ]
        return [{"alias": f"{name}@{own}", **described(self.served)}, *others]

    def _share(self, alias: str) -> dict[str, Any]:
        """What an alias gets of the requests."""
        percent = {"percent": self.canaries[alias] if self.current(alias) else 0.0} if alias in self.canaries else {}
        copied = any(each.alias == alias for each in self.shadows)
        return {**percent, "shadow": copied} if self.aliases[alias].shadow else percent

    @property
    def models(self) -> list[ServedModel]:
        """Everything that is loaded for it."""
        return [self.served, *self.loaded.values(), *(shadow.served for shadow in self.shadows)]
