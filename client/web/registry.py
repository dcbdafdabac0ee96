"""A registry or an artifact as the page reads it: with a short deadline, because people wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from client import emulators
from client.text import SendError
from model.registry.bucket import SCHEME
from model.registry.registry import Registry
from model.text import shortened

DEADLINE_S = 5.0
"""Seconds in which a call to the bucket must succeed."""

_FAILED_S = 10.0
"""Seconds for which a failure is raised again without another call. Each open page asks for models and cards."""

_LIBRARIES = "google", "requests"
"""Packages whose exceptions are failures of the bucket."""


class PageRegistry:
    """The registry, or the artifact, at an address. All methods are thread-safe."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._failing = threading.Lock()
        self._failure, self._until = "", 0.0

    @contextmanager
    def opened(self) -> Iterator[Registry]:
        """Open the registry. Raises ArtifactError and UsageError, and SendError where a bucket cannot be read."""
        with self._failing:
            if time.monotonic() < self._until:
                raise SendError(self._failure, temporary=True)
        if self.address.startswith(SCHEME):
            emulators.check_answers(emulators.STORAGE)
        try:
            with closing(Registry.at(self.address, DEADLINE_S)) as registry:
                yield registry
        except Exception as exc:
            if type(exc).__module__.partition(".")[0] not in _LIBRARIES:
                raise
            error = SendError.of_call(f"{shortened(self.address)} cannot be read", exc, "the bucket")
            with self._failing:
                self._failure, self._until = str(error), time.monotonic() + _FAILED_S
            raise error from exc
