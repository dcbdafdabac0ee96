"""The versions that requests name, as the registry has them.

Requests with names of versions that do not exist must not become as many calls of the bucket: what the registry says is
remembered for a while, also that a version is not there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from functions.errors import UnknownModel
from model.errors import NotRegistered, RegistryError
from model.registry.aliases import Target
from model.registry.names import ModelRef
from model.registry.registry import Registry
from model.text import quoted

log = logging.getLogger(__name__)


class KnownVersions:
    """Callable from any thread. `max_age_s`: seconds for which the registry is not asked the same again."""

    def __init__(self, registry: Registry, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._max_age_s, self._clock = registry, max_age_s, clock
        self._asking = threading.Lock()
        self._names: dict[str, tuple[float, list[str]]] = {}
        """The names of the versions of each model, and when they were listed."""
        self._found: dict[ModelRef, tuple[float, Target | str]] = {}
        """What was found of a version that is listed, or why it cannot be used, and when."""

    def find(self, ref: ModelRef) -> Target | None:
        """The version that a reference names; None when the registry must be asked. Raises UnknownModel."""
        at, found = self._found.get(ref, (0.0, None))
        if found and self._is_new(at):
            if isinstance(found, Target):
                return found
            raise UnknownModel(found)
        at, names = self._names.get(ref.name, (0.0, None))
        if names is not None and self._is_new(at) and ref.version not in names:
            has = ", ".join(names[-10:])
            raise UnknownModel(f"model is {quoted(str(ref))}; the latest versions of {ref.name} are {has}")
        return None

    def ask(self, ref: ModelRef) -> Target:
        """The version that a reference names; asks the registry, blocks.

        A version that was found before stays known while the registry cannot be asked. Raises UnknownModel, and what
        the registry raises.
        """
        assert ref.version
        with self._asking:
            if target := self.find(ref):
                return target
            _, before = self._found.get(ref, (0.0, None))
            found: Target | str
            try:
                self._list(ref.name)
                self.find(ref)
                found = self._registry.version(ref.name, ref.version).target
            except NotRegistered as exc:
                # The reason has addresses, which senders must not see.
                log.warning("model not loaded", extra={"model": str(ref), "reason": str(exc)})
                found = f"model is {quoted(str(ref))}; this version is not complete in the registry"
            except UnknownModel:
                raise
            except Exception:
                if not isinstance(before, Target):
                    raise
                found = before
            self._found[ref] = self._clock(), found
            if isinstance(found, Target):
                return found
            raise UnknownModel(found)

    def _list(self, name: str) -> None:
        """List the versions of a model, unless they were listed a short time ago."""
        at, _ = self._names.get(name, (0.0, None))
        if name not in self._names or not self._is_new(at):
            names = self._registry.versions(name)
            if not names:  # this worker serves one of them
                raise RegistryError(f"{self._registry.address} has no version of {name} any more")
            self._names[name] = self._clock(), names
            found = list(self._found.items())
            self._found = {ref: value for ref, value in found if ref.name != name or ref.version in names}

    def _is_new(self, at: float) -> bool:
        return self._clock() - at < self._max_age_s
