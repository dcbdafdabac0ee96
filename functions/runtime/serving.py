"""What a worker serves of one model of a registry, at one time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from functions.runtime.traffic_split import side_of
from functions.service.models import Choice, ServedModel, Shadow
from model.registry.aliases import Aliases


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served of one model: its aliases when they were read, and what is loaded of it.

    `canaries`: the percentage of each canary by alias. `loaded`: canaries and shadows by alias; one that is not loaded
    yet is loaded for its first request.
    """

    aliases: Aliases
    served: ServedModel
    canaries: Mapping[str, float]
    loaded: Mapping[str, ServedModel] = field(default_factory=dict)
    shadows: tuple[Shadow, ...] = ()

    def choice(self, request_id: str) -> Choice | None:
        """The model for a request that names no alias and no version; None when it is not loaded yet."""
        side = side_of(request_id, self.canaries)
        served = self.loaded.get(side) if side else self.served
        return Choice(served, shadows=self.shadows) if served else None

    @property
    def models(self) -> list[ServedModel]:
        """Everything that is loaded for it."""
        return [self.served, *self.loaded.values(), *(shadow.served for shadow in self.shadows)]
