"""The models that a worker has loaded, within a memory budget."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from functions.service.models import ServedModel
from model.errors import ArtifactError, RegistryError
from model.registry.aliases import Target

RETRY_S = 300.0
"""Seconds after which an artifact that could not be served is tried again."""

LoadVersion = Callable[[str, Target], ServedModel]
"""Loads a version of a model by its name and target. Raises ArtifactError when it cannot be served."""

_Key = tuple[str, Target]
"""The name and the version of a model. Two versions with one digest are two models: a response names its version."""


def target_of(served: ServedModel) -> Target:
    """The version of the registry that was loaded."""
    return Target(served.model.version, served.model.digest)


class LoadedModels:
    """Loads models and keeps the most recently used ones. Callable from any thread.

    `most_bytes`: the size of the model files beyond which the least recently used models are released.
    """

    def __init__(self, load: LoadVersion, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._load, self._most_bytes, self._clock = load, most_bytes, clock
        self._loading, self._lock = threading.Lock(), threading.Lock()
        self._models: OrderedDict[_Key, ServedModel] = OrderedDict()
        self._failed: dict[_Key, tuple[float, ArtifactError]] = {}

    def find(self, name: str, target: Target) -> ServedModel | None:
        """A model that is loaded, or None."""
        with self._lock:
            if found := self._models.get((name, target)):
                self._models.move_to_end((name, target))
            return found

    def load(self, name: str, target: Target) -> ServedModel:
        """A model, which is loaded unless it is; blocks. Raises ArtifactError, and temporary errors of the registry."""
        key = name, target
        with self._loading:
            if found := self.find(*key):
                return found
            failed_at, failure = self._failed.get(key, (0.0, None))
            if failure and self._clock() - failed_at < RETRY_S:
                raise type(failure)(*failure.args)  # a new one: each raise of the same one adds to its traceback
            try:
                made = self._load(name, target)
            except RegistryError:
                raise  # of the registry, not of the artifact
            except ArtifactError as exc:
                self._failed[key] = self._clock(), type(exc)(*exc.args)
                raise
            with self._lock:
                self._models[key] = made
            return made

    def all(self) -> list[ServedModel]:
        """The models that are loaded."""
        with self._lock:
            return list(self._models.values())

    def release(self, models: Iterable[ServedModel]) -> bool:
        """Forget these models. Returns whether there were any."""
        gone = set(models)
        with self._lock:
            keys = [key for key, model in self._models.items() if model in gone]
            for key in keys:
                del self._models[key]
        return bool(keys)

    def shrink(self, kept: Iterable[ServedModel]) -> list[ServedModel]:
        """Forget the least recently used models, except those that are kept, until the budget suffices; return them."""
        kept, gone = set(kept), []
        with self._lock:
            over = sum(model.size for model in self._models.values()) - self._most_bytes
            for key, model in list(self._models.items()):
                if over > 0 and model not in kept:
                    del self._models[key]
                    gone.append(model)
                    over -= model.size
        return gone
