"""The versions that a process has downloaded from a registry: each is deleted when it is not used any more.

The cache often lies in memory (Cloud Run), so that versions that were replaced must not stay there.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from model.artifact.fetch import fetch_artifact
from model.registry.aliases import Target
from model.registry.registry import Registry

_PREFIX = "process-"


class Downloads:
    """Fetches versions into a folder of this process below `cache`. A registry in a folder needs no download."""

    def __init__(self, registry: Registry, cache: Path) -> None:
        self._registry, self._folder = registry, cache / f"{_PREFIX}{os.getpid()}"
        for folder in cache.glob(f"{_PREFIX}*"):
            if not _is_alive(folder.name.removeprefix(_PREFIX)):
                shutil.rmtree(folder, ignore_errors=True)

    def fetch(self, name: str, target: Target) -> Path:
        """The folder with the files of a version, downloaded unless it is there. Errors as `fetch_artifact`."""
        return fetch_artifact(self._registry.address_of(name, target.version), self._folder)

    def forget(self, folder: Path) -> None:
        """Delete a folder that `fetch` returned, if it was downloaded."""
        if folder.is_relative_to(self._folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: str) -> bool:
    with suppress(ValueError, OSError):
        os.kill(int(process), 0)
        return True
    return False
