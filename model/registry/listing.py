"""Lists the versions of a model, complete or not, with their files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from model.artifact.manifest import MANIFEST, Manifest
from model.errors import RegistryError
from model.registry.names import check_model_name, is_version, version_order
from model.registry.registry import Registry
from model.registry.storage import Entry

# Manifests that are read at once.
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Listed:
    """A version as it was found. `files`: by path. `manifest`: None when it cannot be used; `problem` says why."""

    version: str
    files: Mapping[str, Entry]
    manifest: Manifest | None
    problem: str = ""

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def pushed_at(self) -> datetime:
        """When its manifest was written, or the last of its files where it has none."""
        return self.files[MANIFEST].modified if MANIFEST in self.files else self.changed_at

    @property
    def changed_at(self) -> datetime:
        """When the last of its files was written."""
        return max(entry.modified for entry in self.files.values())


def list_versions(registry: Registry, name: str) -> list[Listed]:
    """The versions of a model, the newest first. Raises RegistryError when the registry cannot be used."""
    found: dict[str, dict[str, Entry]] = defaultdict(dict)
    for path, entry in registry.storage.files(check_model_name(name)).items():
        version, _, file = path.partition("/")
        if file and is_version(version):
            found[version][file] = entry
    newest = sorted(found, key=version_order, reverse=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda version: _listed(registry, name, version, found[version]), newest))


def _listed(registry: Registry, name: str, version: str, files: Mapping[str, Entry]) -> Listed:
    try:
        stored = registry.storage.read(f"{name}/{version}/{MANIFEST}")
        if stored is None:
            return Listed(version, files, None, f"{name} {version} has no {MANIFEST}")
        return Listed(version, files, registry.checked(name, version, stored.content, files).manifest)
    except RegistryError as exc:
        return Listed(version, files, None, str(exc))
