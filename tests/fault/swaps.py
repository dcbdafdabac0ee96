"""Two versions of a model in a registry, and an alias that moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

from model.registry.registry import Registry
from tests.registry_models import NAME, push, set_alias

_VERSIONS = "1.0.0", "2.0.0"


class Swaps:
    """The registry lies in `folder`. `env`: the settings of workers that serve it. `artifacts`: the two versions."""

    def __init__(self, folder: Path) -> None:
        self._registry = Registry.at(str(folder / "registry"))
        self._targets = cycle(push(self._registry, folder, *_VERSIONS))
        self.artifacts = [folder / "registry" / NAME / version for version in _VERSIONS]
        self.move()

    @property
    def env(self) -> Mapping[str, str]:
        return {"REGISTRY": self._registry.address, "MODELS": NAME, "ALIASES_MAX_AGE_S": "1"}

    def move(self) -> None:
        """Let the alias name the other version."""
        set_alias(self._registry, next(self._targets))
