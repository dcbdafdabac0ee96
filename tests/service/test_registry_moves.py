"""Aliases in a folder and in a bucket: writers at the same time lose nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model.artifact.manifest import MANIFEST
from model.errors import NotRegistered, RegistryError
from model.registry.aliases import ALIASES
from model.registry.moves import delete_alias, roll_back, set_alias
from model.registry.registry import Registry
from tests.registries import delete, hooked
from tests.registry_models import NAME, push


def test_two_writers_that_move_one_alias_at_once(registry: Registry, tmp_path: Path) -> None:
    first, second, third = push(registry, tmp_path, "1.0.0", "1.1.0", "1.2.0")
    set_alias(registry, NAME, "stable", "1.0.0")
    other = hooked(registry, "write", ALIASES, lambda: set_alias(registry, NAME, "stable", "1.1.0"))
    with pytest.raises(RegistryError, match=r"another writer changed .*: now stable is 1\.1\.0; decide again"):
        set_alias(other, NAME, "stable", "1.2.0")
    found = registry.aliases(NAME)["stable"]
    assert (found.target, found.previous) == (second, (first,)) and third


def test_a_writer_of_another_alias_is_no_obstacle(registry: Registry, tmp_path: Path) -> None:
    first, second = push(registry, tmp_path, "1.0.0", "1.1.0")
    other = hooked(registry, "write", ALIASES, lambda: set_alias(registry, NAME, "candidate", "1.1.0", 10))
    set_alias(other, NAME, "stable", "1.0.0")
    found = registry.aliases(NAME)
    assert (found["stable"].target, found["candidate"].target, found["candidate"].percent) == (first, second, 10)


def test_percentages_of_two_writers_are_summed(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "1.0.0")
    other = hooked(registry, "write", ALIASES, lambda: set_alias(registry, NAME, "b", "1.0.0", 60))
    with pytest.raises(RegistryError, match=r"the percentages are a 50 and b 60, which sum to 110"):
        set_alias(other, NAME, "a", "1.0.0", 50)
    assert list(registry.aliases(NAME)) == ["b"]


def test_threads_that_move_one_alias_lose_no_move(registry_address: str, registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, *(f"1.{number}.0" for number in range(4)))
    set_alias(registry, NAME, "stable", "1.0.0")
    won: list[str] = []
    start = threading.Barrier(3)

    def move(version: str) -> None:
        own = Registry.at(registry_address)
        start.wait()
        try:
            set_alias(own, NAME, "stable", version)
            won.append(version)
        except RegistryError as exc:
            assert "decide again" in str(exc) or "change all the time" in str(exc)

    threads = [threading.Thread(target=move, args=(f"1.{number}.0",)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = registry.aliases(NAME)["stable"]
    assert won and {found.target.version, *(target.version for target in found.previous)} == {"1.0.0", *won}


def test_threads_that_set_different_aliases_lose_none(
    registry_address: str, registry: Registry, tmp_path: Path
) -> None:
    push(registry, tmp_path, "1.0.0")
    names = [f"a{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: set_alias(Registry.at(registry_address), NAME, name, "1.0.0"), names))
    assert sorted(registry.aliases(NAME)) == names


def test_processes_that_move_one_alias_lose_no_move(
    registry_address: str, registry: Registry, tmp_path: Path, root: Path
) -> None:
    versions = ["1.1.0", "1.2.0"]
    push(registry, tmp_path, "1.0.0", *versions)
    set_alias(registry, NAME, "stable", "1.0.0")
    command = [sys.executable, "-m", "model", "alias", "set", "--registry", registry_address, NAME, "stable"]
    running = [
        subprocess.Popen([*command, version], cwd=root, stderr=subprocess.PIPE, text=True) for version in versions
    ]
    said = [process.communicate(timeout=60)[1] for process in running]
    won = {version for version, process in zip(versions, running, strict=True) if process.returncode == 0}
    assert won and all(
        "decide again" in text for version, text in zip(versions, said, strict=True) if version not in won
    )
    found = registry.aliases(NAME)["stable"]
    assert {found.target.version, *(target.version for target in found.previous)} == {"1.0.0", *won}


def test_rollback_goes_back_and_pauses_a_canary(registry: Registry, tmp_path: Path) -> None:
    first, second, third = push(registry, tmp_path, "1.0.0", "1.1.0", "1.2.0")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        set_alias(registry, NAME, "candidate", version, 20, True)
    move = roll_back(registry, NAME, "candidate")
    assert move.before and move.before.target == third
    assert move.after
    assert (move.after.target, move.after.percent, move.after.shadow) == (second, 0, False)
    assert move.after.previous == (first,)
    with pytest.raises(RegistryError, match=r"names 1\.1\.0; its earlier versions are 1\.0\.0, and not 1\.2\.0"):
        roll_back(registry, NAME, "candidate", "1.2.0")
    assert roll_back(registry, NAME, "candidate", "1.0.0").aliases["candidate"].target == first
    with pytest.raises(RegistryError, match="no earlier version to roll back to"):
        roll_back(registry, NAME, "candidate")


def test_rollback_refuses_a_version_that_is_gone(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "1.0.0", "1.1.0")
    set_alias(registry, NAME, "stable", "1.0.0")
    set_alias(registry, NAME, "stable", "1.1.0")
    delete(registry, f"1.0.0/{MANIFEST}")
    with pytest.raises(NotRegistered, match=r"no version 1\.0\.0"):
        roll_back(registry, NAME)
    assert registry.aliases(NAME)["stable"].target.version == "1.1.0"


def test_aliases_are_set_and_deleted(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "1.0.0")
    for refused in ({"percent": 5.0}, {"percent": 0.0}, {"shadow": True}):
        with pytest.raises(RegistryError, match="stable is what workers serve"):
            set_alias(registry, NAME, "stable", "1.0.0", **refused)
    with pytest.raises(NotRegistered, match=r"has no version 9\.9 of fashion-mnist; it has 1\.0\.0"):
        set_alias(registry, NAME, "stable", "9.9")
    with pytest.raises(NotRegistered, match=r"the models are fashion-mnist"):
        set_alias(registry, "other", "stable", "9.9")
    set_alias(registry, NAME, "stable", "1.0.0")
    set_alias(registry, NAME, "candidate", "1.0.0", 5, True)
    assert set_alias(registry, NAME, "candidate", "1.0.0", shadow=False).after == registry.aliases(NAME)["candidate"]
    found = registry.aliases(NAME)["candidate"]
    assert (found.percent, found.shadow, found.previous) == (5, False, ())
    with pytest.raises(RegistryError, match="--force"):
        delete_alias(registry, NAME, "stable")
    delete_alias(registry, NAME, "candidate")
    with pytest.raises(NotRegistered, match="has no alias candidate; it has stable"):
        delete_alias(registry, NAME, "candidate")
    assert delete_alias(registry, NAME, "stable", force=True).aliases == {}
