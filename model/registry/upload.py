"""Writes the files of a version: the manifest first, then what is missing, then all of it is compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model.artifact.load import Artifact, documents_of
from model.artifact.manifest import MANIFEST, Manifest, check_file, parse_json, parse_manifest
from model.errors import ArtifactError, NotRegistered, RegistryError
from model.registry.storage import NEW, Changed, Entry, Storage

Uploading = Callable[[str, int], object]
"""Called with the path and the size in bytes of a file before it is written."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An artifact in `folder` that becomes a version of the model `name`."""

    storage: Storage
    folder: Path
    artifact: Artifact
    name: str
    version: str
    uploading: Uploading

    @property
    def path(self) -> str:
        """The folder of the version in the registry."""
        return f"{self.name}/{self.version}"

    def run(self) -> tuple[Manifest, Mapping[str, Entry]]:
        """Write what is missing; return the manifest and all files.

        Raises Changed when others write or delete the version at the same time, RegistryError when it holds something
        else.
        """
        documents = documents_of(self.folder)
        manifest, is_new = self._claim()
        files = {} if is_new else self.storage.files(self.path)
        for file in [*manifest.verified, *documents]:
            if not self._holds(file, files):
                self.uploading(file, (self.folder / file).stat().st_size)
                self.storage.upload(f"{self.path}/{file}", self.folder / file)
        files = self.storage.files(self.path)
        if MANIFEST not in files:
            raise Changed(self.path)
        for file, entry in manifest.verified.items():
            check_file(self.folder, file, entry)  # what was uploaded is what was verified
            if not self._holds(file, files):
                if file not in self.storage.files(self.path):
                    raise Changed(file)  # others delete the version
                raise RegistryError(
                    f"{file} in {self.storage.address}/{self.path} changed while it was pushed; push it again"
                )
        return manifest, files

    def _holds(self, file: str, files: Mapping[str, Entry]) -> bool:
        return file in files and self.storage.holds(f"{self.path}/{file}", files[file], self.folder / file)

    def _claim(self) -> tuple[Manifest, bool]:
        """Write the manifest of a version first: from then on its files can only be those of the manifest.

        Returns the manifest that is there, and whether this call wrote it. Files that were there before it are being
        deleted, and must be written again.
        """
        stored = self.storage.read(f"{self.path}/{MANIFEST}")
        where = f"{self.storage.address}/{self.path}"
        if stored is None:
            written = _renamed((self.folder / MANIFEST).read_bytes(), self.name, self.version)
            self.storage.write(f"{self.path}/{MANIFEST}", written, NEW)
            return parse_manifest(written), True
        manifest = parse_version(stored.content, self.storage.address, self.name, self.version)
        if manifest.digest != self.artifact.digest:
            raise RegistryError(
                f"{where} holds another artifact, and a version never changes; push this one with --version and a new "
                "version"
            )
        if manifest.golden != self.artifact.golden:  # the engines were measured again: the first measurement stays
            raise RegistryError(
                f"{where} holds this model with other golden images; push this artifact with --version and a new "
                "version"
            )
        return manifest, False


def parse_version(manifest: bytes, registry: str, name: str, version: str) -> Manifest:
    """Parse the manifest of a version of the registry at an address. Raises NotRegistered when it is of another one."""
    where = f"{registry}/{name}/{version}"
    try:
        parsed = parse_manifest(manifest)
    except ArtifactError as exc:
        raise NotRegistered(f"{where}: {exc}") from None
    if (parsed.name, parsed.version) != (name, version):
        raise NotRegistered(
            f"{where} holds {parsed.name} {parsed.version}: it was copied by hand; push the artifact instead"
        )
    return parsed


def _renamed(manifest: bytes, name: str, version: str) -> bytes:
    """A manifest with another name and version. Its digest stays, because it covers the files only."""
    body = parse_json(manifest, MANIFEST)
    body |= {"name": name, "version": version}
    return (json.dumps(body, indent=2) + "\n").encode()
