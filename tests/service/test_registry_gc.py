"""Versions that no alias needs are deleted while others push and move aliases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from model.artifact.manifest import MANIFEST
from model.errors import NotRegistered, RegistryError
from model.registry.aliases import ALIASES, Alias
from model.registry.garbage import delete_garbage, find_garbage
from model.registry.moves import set_alias
from model.registry.names import parse_ref
from model.registry.registry import Registry
from model.registry.storage import Entry
from tests.registries import delete, hooked
from tests.registry_models import NAME, push

AT_ONCE = timedelta(0)


def test_gc_keeps_what_aliases_need_what_is_new_and_what_is_young(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.10.0")
    set_alias(registry, NAME, "stable", "1.0.0")
    set_alias(registry, NAME, "stable", "1.2.0")
    delete(registry, "1.3.0/labels.txt")
    assert find_garbage(registry, NAME, 0, timedelta(days=1)) == []
    assert [each.version for each in find_garbage(registry, NAME, 1, AT_ONCE)] == ["1.1.0", "1.3.0"]
    found = find_garbage(registry, NAME, 0, AT_ONCE)
    assert [each.version for each in found] == ["1.1.0", "1.3.0", "1.10.0"]
    assert "not complete" in found[1].reason
    done = delete_garbage(registry, NAME, found)
    assert (done.deleted, done.kept) == (["1.1.0", "1.3.0", "1.10.0"], [])
    assert registry.versions(NAME) == ["1.0.0", "1.2.0"]
    assert registry.alias_file(NAME).deleting == frozenset()
    assert registry.version(NAME, "1.0.0") and registry.version(NAME, "1.2.0")


def test_gc_spares_a_version_that_an_alias_names_meanwhile(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "1.0.0", "1.1.0")
    found = find_garbage(registry, NAME, 0, AT_ONCE)
    at_the_mark = hooked(registry, "write", ALIASES, lambda: set_alias(registry, NAME, "stable", "1.0.0"))
    done = delete_garbage(at_the_mark, NAME, found)
    assert (done.deleted, done.kept) == (["1.1.0"], ["1.0.0"])
    assert registry.target(parse_ref(NAME)).version == "1.0.0" and registry.version(NAME, "1.0.0")


def test_an_alias_cannot_name_a_version_that_gc_deletes_meanwhile(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "1.0.0", "1.1.0")
    set_alias(registry, NAME, "stable", "1.0.0")

    def gc() -> None:
        assert delete_garbage(registry, NAME, find_garbage(registry, NAME, 0, AT_ONCE)).deleted == ["1.1.0"]

    before = registry.storage.read(f"{NAME}/{ALIASES}")
    with pytest.raises(NotRegistered, match=r"no version 1\.1\.0"):
        set_alias(hooked(registry, "write", ALIASES, gc), NAME, "candidate", "1.1.0")
    after = registry.storage.read(f"{NAME}/{ALIASES}")
    assert before and after and before.content == after.content and before.generation != after.generation


class Killed(BaseException):
    """The process ended here."""


def test_a_gc_that_was_killed_is_finished_by_the_next_one(
    registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    push(registry, tmp_path, "1.0.0")
    set_alias(registry, NAME, "stable", "1.0.0")
    registry.push(artifacts("1.1.0"))
    found = find_garbage(registry, NAME, 0, AT_ONCE)

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        delete_garbage(hooked(registry, "delete", "labels.txt", kill), NAME, found)
    with pytest.raises(NotRegistered):
        registry.version(NAME, "1.1.0")
    with pytest.raises(RegistryError, match=r"1\.1\.0 is being deleted; run gc for fashion-mnist, then push again"):
        registry.push(artifacts("1.1.0"))
    found = find_garbage(registry, NAME, 100, timedelta(days=1))
    assert [each.reason for each in found] == ["its deletion was interrupted"]
    assert delete_garbage(registry, NAME, found).deleted == ["1.1.0"]
    assert registry.versions(NAME) == ["1.0.0"]
    registry.push(artifacts("1.1.0"))
    assert set_alias(registry, NAME, "stable", "1.1.0").after


def test_an_alias_cannot_name_what_is_marked(registry: Registry, artifacts: Callable[[str], Path]) -> None:
    registry.push(artifacts("1.0.0"))

    def set_it() -> None:
        with pytest.raises(RegistryError, match=r"1\.0\.0 is being deleted; choose another version"):
            set_alias(registry, NAME, "stable", "1.0.0")

    at_the_manifest = hooked(registry, "delete", MANIFEST, set_it)
    assert delete_garbage(at_the_manifest, NAME, find_garbage(registry, NAME, 0, AT_ONCE)).deleted == ["1.0.0"]


def test_gc_spares_a_version_that_is_completed_meanwhile(registry: Registry, artifacts: Callable[[str], Path]) -> None:
    registry.push(artifacts("1.0.0"))
    delete(registry, "1.0.0/labels.txt")
    found = find_garbage(registry, NAME, 0, AT_ONCE)
    registry.push(artifacts("1.0.0"))
    assert delete_garbage(registry, NAME, found).kept == ["1.0.0"]
    assert registry.version(NAME, "1.0.0") and registry.alias_file(NAME).deleting == frozenset()


def test_a_push_whose_version_gc_deletes_meanwhile_begins_again(
    registry: Registry, artifacts: Callable[[str], Path]
) -> None:
    registry.push(artifacts("1.0.0"))
    delete(registry, "1.0.0/labels.txt")
    found = find_garbage(registry, NAME, 0, AT_ONCE)

    def gc() -> None:
        assert delete_garbage(registry, NAME, found).deleted == ["1.0.0"]

    pushed = hooked(registry, "upload", "labels.txt", gc).push(artifacts("1.0.0"))
    assert registry.version(NAME, "1.0.0") == pushed


@pytest.mark.parametrize("registry_address", ["folder"], indirect=True)  # a bucket lists the checksums
def test_a_push_whose_version_gc_deletes_while_it_is_compared_begins_again(
    registry: Registry, artifacts: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, left = registry.storage, [1]
    holds = storage.holds

    def deleted_first(path: str, entry: Entry, file: Path) -> bool:
        if left:
            left.pop()
            assert delete_garbage(registry, NAME, find_garbage(registry, NAME, 0, AT_ONCE)).deleted == ["1.0.0"]
        return holds(path, entry, file)

    monkeypatch.setattr(storage, "holds", deleted_first)
    pushed = registry.push(artifacts("1.0.0"))
    assert not left and registry.version(NAME, "1.0.0") == pushed


def test_pushes_moves_and_gc_at_once(registry_address: str, artifacts: Callable[[str], Path]) -> None:
    versions = [f"1.{number}.0" for number in range(3)]
    refused: list[str] = []

    def repeat(action: Callable[[Registry, str], object]) -> Callable[[], None]:
        def run() -> None:
            own = Registry.at(registry_address)
            for version in versions * 3:
                try:
                    action(own, version)
                except RegistryError as exc:
                    refused.append(str(exc))

        return run

    def gc(own: Registry, _: str) -> None:
        delete_garbage(own, NAME, find_garbage(own, NAME, 0, AT_ONCE))

    for version in versions:
        artifacts(version)
    actions = [
        lambda own, version: own.push(artifacts(version)),
        lambda own, version: set_alias(own, NAME, "stable", version),
        lambda own, version: set_alias(own, NAME, "candidate", version, 5),
        gc,
    ]
    Registry.at(registry_address).push(artifacts("1.0.0"))
    set_alias(Registry.at(registry_address), NAME, "stable", "1.0.0")
    threads = [threading.Thread(target=repeat(action)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = Registry.at(registry_address)
    named: list[Alias] = list(registry.aliases(NAME).values())
    assert named
    for alias in named:
        for target in (alias.target, *alias.previous):
            assert registry.version(NAME, target.version).target == target, refused
    assert registry.alias_file(NAME).deleting == frozenset()
    allowed = ("being deleted", "has no version", "decide again", "change all the time", "not complete", "all the time")
    assert [each for each in refused if not any(text in each for text in allowed)] == []
