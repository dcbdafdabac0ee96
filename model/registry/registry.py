"""The registry: `NAME/VERSION/` holds an artifact that never changes, `NAME/aliases.json` the aliases of the model.

There is no database and no server: any number of people and workers use the same bucket or folder at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model.artifact.load import Artifact, read_artifact
from model.artifact.manifest import MANIFEST, Manifest, parse_json, parse_manifest
from model.errors import ArtifactError, NotRegistered, RegistryError
from model.registry.aliases import ALIASES, STABLE, Alias, Target, encode_aliases, parse_aliases
from model.registry.bucket import SCHEME, BucketStorage
from model.registry.folder import FolderStorage
from model.registry.names import ModelRef, check_model_name, check_version, is_model_name, is_version, version_order
from model.registry.storage import NEW, Changed, Storage
from model.text import quoted

# How often a change of aliases is tried when others change other aliases of the model at the same time.
_TRIES = 10

CARD = "MODEL_CARD.md"
"""The file that a version holds apart from those in its manifest."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model. `address`: its artifact, for `fetch_artifact`."""

    name: str
    manifest: Manifest
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
    def at(cls, address: str) -> Registry:
        """The registry at an address."""
        if address.startswith(SCHEME):
            return cls(BucketStorage(address))
        if not address or "://" in address:
            raise RegistryError(f"the registry is {quoted(address)}; it must be a folder, or gs://bucket/prefix")
        return cls(FolderStorage(Path(address)))

    @property
    def address(self) -> str:
        """The folder, or `gs://bucket/prefix`."""
        return self._storage.address

    @property
    def storage(self) -> Storage:
        """Its files, for what is kept next to the versions and the aliases of a model."""
        return self._storage

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
        manifest = self._manifest(stored.content, name, version)
        sizes = self._storage.sizes(path)
        missing = [file for file, entry in manifest.verified.items() if sizes.get(file) != entry.size]
        if missing:
            raise RegistryError(
                f"{name} {version} in {self.address} is not complete: {missing[0]} is missing or cut off; push it again"
            )
        return Version(name, manifest, self.address_of(name, version))

    def address_of(self, name: str, version: str) -> str:
        """The address of a version's artifact, for `fetch_artifact`, whether it is there or not."""
        return f"{self.address}/{check_model_name(name)}/{check_version(version)}"

    def aliases(self, name: str) -> dict[str, Alias]:
        """The aliases of a model; none when it has none."""
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
        has = f"it has {', '.join(sorted(aliases))}" if aliases else self._known(name)
        return NotRegistered(f"{name} in {self.address} has no alias {alias}; {has}")

    def push(self, folder: Path, name: str = "", version: str = "") -> Version:
        """Add an artifact. `name` and `version`: instead of its own, which keeps its digest.

        A version never changes: another artifact under the same version raises RegistryError, and the same one is
        completed where a push was interrupted. Raises ArtifactError when the artifact cannot be used.
        """
        artifact = read_artifact(folder)
        name, version = check_model_name(name or artifact.name), check_version(version or artifact.version)
        path = f"{name}/{version}"
        written = _renamed((folder / MANIFEST).read_bytes(), name, version)
        manifest = self._claim(path, written, artifact)
        sizes = self._storage.sizes(path)
        for file, entry in manifest.verified.items():
            if sizes.get(file) != entry.size:
                self._storage.upload(f"{path}/{file}", folder / file)
        if (folder / CARD).is_file():
            self._storage.upload(f"{path}/{CARD}", folder / CARD)
        return self.version(name, version)

    def edit_aliases(
        self, name: str, touched: tuple[str, ...], edit: Callable[[dict[str, Alias]], dict[str, Alias]]
    ) -> dict[str, Alias]:
        """Change the aliases `touched` of a model in one write; `edit` returns all aliases as they are to be.

        Raises RegistryError when another writer changes one of them at the same time: the first one wins.
        """
        first: list[Alias | None] | None = None
        for _ in range(_TRIES):
            aliases, generation = self._aliases(name)
            before = [aliases.get(alias) for alias in touched]
            if first is not None and before != first:
                shown = ", ".join(
                    f"{a} is {b.target.version if b else 'gone'}" for a, b in zip(touched, before, strict=True)
                )
                raise RegistryError(
                    f"another writer changed an alias of {name} at the same time: now {shown}; decide again"
                )
            first, edited = before, edit(dict(aliases))
            try:
                self._storage.write(f"{name}/{ALIASES}", encode_aliases(edited), generation)
            except Changed:
                continue
            return edited
        raise RegistryError(f"the aliases of {name} in {self.address} change all the time; try again")

    def _aliases(self, name: str) -> tuple[dict[str, Alias], str]:
        path = f"{check_model_name(name)}/{ALIASES}"
        stored = self._storage.read(path)
        if stored is None:
            return {}, NEW
        return parse_aliases(stored.content, f"{self.address}/{path}"), stored.generation

    def _claim(self, path: str, written: bytes, artifact: Artifact) -> Manifest:
        """Write the manifest of a version first: from then on its files can only be those of the manifest."""
        try:
            self._storage.write(f"{path}/{MANIFEST}", written, NEW)
            return parse_manifest(written)
        except Changed:
            stored = self._storage.read(f"{path}/{MANIFEST}")
        manifest = parse_manifest(stored.content) if stored else None
        if manifest is None or manifest.digest != artifact.digest:
            raise RegistryError(
                f"{self.address}/{path} holds another artifact, and a version never changes; push this one with "
                "--version and a new version"
            )
        if manifest.golden != artifact.golden:  # the engines were measured again: the first measurement stays
            raise RegistryError(
                f"{self.address}/{path} holds this model with other golden images; push this artifact with --version "
                "and a new version"
            )
        return manifest

    def _manifest(self, content: bytes, name: str, version: str) -> Manifest:
        try:
            manifest = parse_manifest(content)
        except ArtifactError as exc:
            raise RegistryError(f"{self.address}/{name}/{version}: {exc}") from None
        if (manifest.name, manifest.version) != (name, version):
            raise RegistryError(
                f"{self.address}/{name}/{version} holds {manifest.name} {manifest.version}: it was copied by hand; "
                "push the artifact instead"
            )
        return manifest

    def _known(self, name: str) -> str:
        if versions := self.versions(name):
            return f"it has {', '.join(versions[-10:])}"
        return f"the models are {', '.join(self.names()) or 'none: push one'}"


def now() -> str:
    """The time for `changed_at`: RFC 3339 in UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _renamed(manifest: bytes, name: str, version: str) -> bytes:
    """A manifest with another name and version. Its digest stays, because it covers the files only."""
    body = parse_json(manifest, MANIFEST)
    body |= {"name": name, "version": version}
    return (json.dumps(body, indent=2) + "\n").encode()
