"""Finds the versions that are not needed any more, and deletes them while others push and move aliases.

Before a version is deleted, aliases.json says so in `deleting`. From that write on no alias can name it, and a write
that would have named it fails, because the file has changed. The manifest is deleted first: a version without one is
not there, and is never half a version. A deletion that was interrupted is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from model.artifact.manifest import MANIFEST
from model.registry.aliases import Aliases, AliasFile
from model.registry.listing import list_versions
from model.registry.names import version_order
from model.registry.registry import Registry
from model.registry.storage import Changed, Entry


@dataclass(frozen=True, slots=True)
class Garbage:
    """A version that may be deleted. `files`: by path, as they were found. `reason`: why it is not needed."""

    version: str
    files: Mapping[str, Entry]
    reason: str

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(entry.size for entry in self.files.values())


@dataclass(frozen=True, slots=True)
class Deleted:
    """What `delete_garbage` did: the versions that it deleted, and those that changed meanwhile and stay."""

    deleted: list[str]
    kept: list[str]


def find_garbage(registry: Registry, name: str, keep: int, older_than: timedelta) -> list[Garbage]:
    """The versions of a model that no alias needs, the oldest first. Raises RegistryError.

    An alias needs the version that it names and those that it can be rolled back to. The newest `keep` complete
    versions stay, and so does every version with a file that is younger than `older_than`: it may be being pushed.
    """
    limit = datetime.now(UTC) - older_than
    listed = list_versions(registry, name)
    file = registry.alias_file(name)
    needed, newest = _needed(file.aliases), [each.version for each in listed if each.manifest][:keep]
    found = [Garbage(version, {}, _UNFINISHED) for version in file.deleting - {each.version for each in listed}]
    for each in listed:
        if each.version in needed:
            continue
        if each.version in file.deleting:
            found.append(Garbage(each.version, each.files, _UNFINISHED))
        elif each.version not in newest and each.changed_at < limit:
            found.append(Garbage(each.version, each.files, "no alias needs it" if each.manifest else each.problem))
    return sorted(found, key=lambda each: version_order(each.version))


def delete_garbage(registry: Registry, name: str, garbage: Collection[Garbage]) -> Deleted:
    """Delete versions that `find_garbage` found, unless an alias needs them or they have changed since then."""

    def mark(file: AliasFile) -> AliasFile:
        found = {each.version for each in garbage}
        return AliasFile(file.aliases, (file.deleting | found) - _needed(file.aliases))

    marked, done = registry.edit_alias_file(name, mark).deleting, Deleted([], [])
    try:
        for each in garbage:
            gone = each.version in marked and _delete(registry, f"{name}/{each.version}", each.files)
            (done.deleted if gone else done.kept).append(each.version)
    finally:
        ended = {*done.deleted, *done.kept}
        registry.edit_alias_file(name, lambda file: AliasFile(file.aliases, file.deleting - ended))
    return done


_UNFINISHED = "its deletion was interrupted"


def _needed(aliases: Aliases) -> set[str]:
    return {target.version for alias in aliases.values() for target in (alias.target, *alias.previous)}


def _delete(registry: Registry, path: str, planned: Mapping[str, Entry]) -> bool:
    """Delete the files of a version, the manifest first. False when others write them."""
    found = registry.storage.files(path)
    if any(planned.get(file) != entry for file, entry in found.items()):
        return False
    try:
        for file in sorted(found, key=lambda file: file != MANIFEST):
            registry.storage.delete(f"{path}/{file}", found[file])
    except Changed:
        return False
    return True
