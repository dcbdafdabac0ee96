"""The versions that a process has downloaded from a registry: each is deleted when it is not used any more.

The cache often lies in memory (Cloud Run), so that versions that were replaced must not stay there.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from model.artifact.fetch import fetch_artifact, writing_cache
from model.registry.aliases import Target
from model.registry.bucket import SCHEME
from model.registry.registry import Registry

_PREFIX, _STARTING = "process-", "starting-"
_LOCK = ".lock"
"""The file that a process keeps locked in its folder: after its end, however it ended, the folder may be deleted."""


class Downloads:
    """Fetches versions into a folder of this process below `cache`. A registry in a folder needs no download.

    Callable from any thread.
    """

    def __init__(self, registry: Registry, cache: Path) -> None:
        self._registry, self._cache = registry, cache
        self._folder: Path | None = None
        self._lock, self._numbers = threading.Lock(), itertools.count(1)

    def fetch(self, name: str, target: Target) -> Path:
        """The folder with the files of a version. Each call downloads them again. Errors as `fetch_artifact`."""
        address = self._registry.address_of(name, target.version)
        if not address.startswith(SCHEME):
            return fetch_artifact(address, self._cache)
        # No two models share files: one may be loaded while an earlier one of the same version is released.
        place = self._own_folder() / str(next(self._numbers))
        try:
            return fetch_artifact(address, place)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def forget(self, folder: Path) -> None:
        """Delete a folder that `fetch` returned, if it was downloaded."""
        if self._folder and folder.is_relative_to(self._folder):
            shutil.rmtree(folder.parent, ignore_errors=True)

    def _own_folder(self) -> Path:
        """The folder of this process, locked before it has its name. The first call deletes those of ended ones."""
        with self._lock:
            if not self._folder or not self._folder.is_dir():
                with writing_cache(self._cache):
                    self._cache.mkdir(parents=True, exist_ok=True)
                    for folder in self._cache.glob(f"{_PREFIX}*"):
                        if not _is_held(folder):
                            shutil.rmtree(folder, ignore_errors=True)
                    made = Path(tempfile.mkdtemp(prefix=_STARTING, dir=self._cache))
                    held = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR)  # open, and so locked, until the process ends
                    with suppress(OSError):
                        fcntl.flock(held, fcntl.LOCK_EX)
                    self._folder = made.rename(self._cache / made.name.replace(_STARTING, _PREFIX, 1))
            return self._folder


def _is_held(folder: Path) -> bool:
    """Whether a process that lives has the folder, or may have it: some file systems have no locks."""
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(handle)
