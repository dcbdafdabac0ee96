"""Aliases that were set after the worker read those of a model, for requests that name them.

Without them, a request that names a new alias would get a permanent error until the aliases are read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from functions.errors import UnknownModel
from model.registry.aliases import STABLE, Aliases, Target
from model.registry.names import ModelRef
from model.registry.registry import Registry
from model.text import listed, quoted

AGAIN_S = 5.0
"""Seconds for which the aliases of a model are not read again, so that requests with unknown names stay cheap."""


class NewAliases:
    """Callable from any thread."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._clock = registry, clock
        self._asking = threading.Lock()
        self._read: dict[str, tuple[float, Aliases]] = {}
        """The aliases of each model, and when they were read."""

    def find(self, ref: ModelRef) -> Target | None:
        """The version that an alias names; None when the registry must be asked. Raises UnknownModel."""
        at, aliases = self._read.get(ref.name, (0.0, None))
        if aliases is None or self._clock() - at >= AGAIN_S:
            return None
        if found := aliases.get(ref.alias or STABLE):
            return found.target
        raise UnknownModel(f"model is {quoted(str(ref))}; the aliases of {ref.name} are {listed(aliases)}")

    def ask(self, ref: ModelRef) -> Target:
        """The version that an alias names; asks the registry, blocks. Raises UnknownModel, and what the registry
        raises."""
        with self._asking:
            if target := self.find(ref):
                return target
            aliases = self._registry.aliases(ref.name)  # which may take longer than they are kept
            self._read[ref.name] = self._clock(), aliases
            target = self.find(ref)
            assert target, "they have just been read"
            return target
