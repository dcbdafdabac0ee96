"""The registry: `NAME/VERSION/` holds an artifact that never changes, `NAME/aliases.json` the aliases of the model.

There is no database and no server: any number of people and workers use the same bucket or folder at the same time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model.artifact.load import read_artifact
from model.artifact.manifest import MANIFEST, Manifest
from model.errors import NotRegistered, RegistryError
from model.registry.aliases import ALIASES, STABLE, Alias, AliasFile, Target, encode_aliases, parse_aliases
from model.registry.bucket import SCHEME, BucketStorage
from model.registry.folder import FolderStorage
from model.registry.names import ModelRef, check_model_name, check_version, is_model_name, is_version, version_order
from model.registry.storage import NEW, Changed, Entry, Storage
from model.registry.upload import Upload, Uploading, parse_version
from model.text import listed, quoted

# How often a change of aliases is tried when others change other aliases of the model at the same time.
_TRIES = 10

# Seconds within which the next try begins, at random.
_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model. `files`: by path, as they were listed. `address`: its artifact, for `fetch_artifact`."""

    name: str
    manifest: Manifest
    files: Mapping[str, Entry]
    address: str

    @property
    def target(self) -> Target:
        """What an alias of this version holds."""
        return Target(self.manifest.version, self.manifest.digest)


class Registry:
    """The registry at a folder or `gs://bucket/prefix`. Callable from any thread.

    Methods raise RegistryError for what is not there or not allowed. Other errors of Google's client pass through,
    because they are temporary.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @classmethod
    def at(cls, address: str, deadline_s: float | None = None) -> Registry:
        """The registry at an address. `deadline_s`: as that of BucketStorage."""
        if address.startswith(SCHEME):
            return cls(BucketStorage(address, deadline_s))
        if not address or "://" in address:
            raise RegistryError(f"the registry is {quoted(address)}; it must be a folder, or gs://bucket/prefix")
        return cls(FolderStorage(Path(address)))

    @property
    def address(self) -> str:
        """The folder, or `gs://bucket/prefix`."""
        return self._storage.address

    @property
    def storage(self) -> Storage:
        """The files, for the other modules of this package."""
        return self._storage

    def close(self) -> None:
        """Close connections."""
        self._storage.close()

    def names(self) -> list[str]:
        """The models, sorted."""
        return [name for name in self._storage.folders("") if is_model_name(name)]

    def versions(self, name: str) -> list[str]:
        """The versions of a model, the oldest first, complete or not."""
        found = self._storage.folders(check_model_name(name))
        return sorted(filter(is_version, found), key=version_order)

    def version(self, name: str, version: str) -> Version:
        """A version that is complete: every file of its manifest is there."""
        path = f"{check_model_name(name)}/{check_version(version)}"
        stored = self._storage.read(f"{path}/{MANIFEST}")
        if stored is None:
            raise NotRegistered(f"{self.address} has no version {version} of {name}; {self._known(name)}")
        return self.checked(name, version, stored.content, self._storage.files(path))

    def checked(self, name: str, version: str, manifest: bytes, files: Mapping[str, Entry]) -> Version:
        """A version from its manifest.json and its files. Raises RegistryError when it is not complete."""
        read = parse_version(manifest, self.address, name, version)
        missing = [file for file, entry in read.verified.items() if file not in files or files[file].size != entry.size]
        if missing:
            raise NotRegistered(
                f"{name} {version} in {self.address} is not complete: {missing[0]} is missing or cut off; push it again"
            )
        return Version(name, read, files, self.address_of(name, version))

    def address_of(self, name: str, version: str) -> str:
        """The address of a version's artifact, for `fetch_artifact`, whether it is there or not."""
        return f"{self.address}/{check_model_name(name)}/{check_version(version)}"

    def aliases(self, name: str) -> dict[str, Alias]:
        """The aliases of a model; none when it has none."""
        return self.alias_file(name).aliases

    def alias_file(self, name: str) -> AliasFile:
        """The content of aliases.json of a model."""
        return self._aliases(name)[0]

    def target(self, ref: ModelRef) -> Target:
        """The version that a reference names; the alias `stable` where it names neither an alias nor a version."""
        if ref.version:
            return self.version(ref.name, ref.version).target
        alias, aliases = ref.alias or STABLE, self.aliases(ref.name)
        if alias not in aliases:
            raise self.no_alias(ref.name, alias, aliases)
        return aliases[alias].target

    def no_alias(self, name: str, alias: str, aliases: Mapping[str, Alias]) -> NotRegistered:
        """The error for an alias that a model lacks."""
        has = f"it has {listed(aliases)}" if aliases else self._known(name)
        return NotRegistered(f"{name} in {self.address} has no alias {alias}; {has}")

    def no_model(self, name: str) -> NotRegistered:
        """The error for a model that is not there."""
        return NotRegistered(f"{self.address} has no model {name}; {self._known(name)}")

    def push(
        self,
        folder: Path,
        name: str = "",
        version: str = "",
        uploading: Uploading = lambda file, size: None,
    ) -> Version:
        """Add an artifact. `name` and `version`: instead of its own, which keeps its digest.

        `uploading` is called with the path and the size in bytes of each file before it is written.

        A version never changes: another artifact under the same version raises RegistryError, and the same one is
        completed where a push was interrupted. Raises ArtifactError when the artifact cannot be used.
        """
        artifact = read_artifact(folder)
        name, version = check_model_name(name or artifact.name), check_version(version or artifact.version)
        upload = Upload(self._storage, folder, artifact, name, version, uploading)
        for _ in range(_TRIES):
            if version in self.alias_file(name).deleting:
                raise RegistryError(f"{name} {version} is being deleted; run gc for {name}, then push again")
            try:
                return Version(name, *upload.run(), self.address_of(name, version))
            except Changed:
                continue
        raise RegistryError(f"{name} {version} is written and deleted all the time by others; try again")

    def edit_aliases(
        self, name: str, touched: tuple[str, ...], edit: Callable[[dict[str, Alias]], dict[str, Alias]]
    ) -> dict[str, Alias]:
        """Change the aliases `touched` of a model in one write; `edit` returns all aliases as they are to be.

        Raises RegistryError when another writer changes one of them at the same time: the first one wins.
        """
        first: list[Alias | None] | None = None

        def checked(file: AliasFile) -> AliasFile:
            nonlocal first
            before = [file.aliases.get(alias) for alias in touched]
            if first is not None and before != first:
                shown = ", ".join(
                    f"{a} is {b.target.version if b else 'gone'}" for a, b in zip(touched, before, strict=True)
                )
                raise RegistryError(
                    f"another writer changed an alias of {name} at the same time: now {shown}; decide again"
                )
            first, edited = before, edit(dict(file.aliases))
            for key, alias in edited.items():
                if alias != file.aliases.get(key) and alias.target.version in file.deleting:
                    raise RegistryError(f"{name} {alias.target.version} is being deleted; choose another version")
            return AliasFile(edited, file.deleting)

        return self.edit_alias_file(name, checked).aliases

    def edit_alias_file(self, name: str, edit: Callable[[AliasFile], AliasFile]) -> AliasFile:
        """Change aliases.json of a model in one write; `edit` is called again when another writer was faster."""
        for _ in range(_TRIES):
            before, generation = self._aliases(name)
            edited = edit(before)
            try:
                self._storage.write(f"{name}/{ALIASES}", encode_aliases(edited), generation)
            except Changed:
                time.sleep(random.uniform(0, _WAIT_S))  # nosec B311
                continue
            return edited
        raise RegistryError(f"the aliases of {name} in {self.address} change all the time; try again")

    def _aliases(self, name: str) -> tuple[AliasFile, str]:
        path = f"{check_model_name(name)}/{ALIASES}"
        stored = self._storage.read(path)
        if stored is None:
            return AliasFile({}), NEW
        return parse_aliases(stored.content, f"{self.address}/{path}"), stored.generation

    def _known(self, name: str) -> str:
        if versions := self.versions(name):
            return f"it has {', '.join(versions[-10:])}"
        return f"the models are {listed(self.names()) or 'none: push one'}"


def now() -> str:
    """The time for `changed_at`: RFC 3339 in UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
