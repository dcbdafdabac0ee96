"""Promotions in a folder and in a bucket, while others move the same aliases and save verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import RegistryError
from model.registry.aliases import CANDIDATE, STABLE, Target
from model.registry.moves import roll_back
from model.registry.moves import set_alias as name_version
from model.registry.promotion import promote
from model.registry.registry import Registry, now
from model.registry.verdicts import FOLDER, NO_WORSE, WORSE, Verdict, find_verdict, save_verdict
from tests.registries import hooked
from tests.registry_models import NAME

Artifact = Callable[[str], Path]


@pytest.fixture
def targets(registry: Registry, artifacts: Artifact) -> list[Target]:
    """Three versions: the first is stable, the second a candidate."""
    made = [registry.push(artifacts(version)).target for version in ("1.0.0", "1.1.0", "1.2.0")]
    name_version(registry, NAME, STABLE, "1.0.0")
    name_version(registry, NAME, CANDIDATE, "1.1.0", percent=5.0)
    return made


def verdict(stable: Target, candidate: Target, said: str = NO_WORSE) -> Verdict:
    return Verdict(NAME, stable, candidate, said, "two results files", {"stable": 300, "candidate": 300}, {}, (), now())


def test_a_verdict_is_kept_replaced_and_allows_a_promotion(registry: Registry, targets: list[Target]) -> None:
    first, second, _ = targets
    address = save_verdict(registry, verdict(first, second, WORSE))
    assert address.startswith(f"{registry.address}/{NAME}/{FOLDER}/")
    save_verdict(registry, verdict(first, second))
    found = find_verdict(registry, NAME, first, second)
    assert found and found.may_be_promoted and find_verdict(registry, NAME, second, first) is None
    assert promote(registry, NAME).before == first
    assert registry.aliases(NAME)[STABLE].target == second and registry.aliases(NAME)[CANDIDATE].percent == 0.0
    assert roll_back(registry, NAME).aliases[STABLE].target == first
    assert registry.versions(NAME) == ["1.0.0", "1.1.0", "1.2.0"] and registry.names() == [NAME]


@pytest.mark.parametrize("alias", [STABLE, CANDIDATE])
@pytest.mark.parametrize("force", [False, True])
def test_an_alias_that_another_writer_moves_meanwhile_is_not_promoted(
    alias: str, force: bool, registry: Registry, targets: list[Target]
) -> None:
    save_verdict(registry, verdict(targets[0], targets[1]))
    busy = hooked(registry, "write", "aliases.json", lambda: name_version(registry, NAME, alias, "1.2.0"))
    with pytest.raises(RegistryError, match="another writer changed an alias"):
        promote(busy, NAME, force=force)
    expected = {STABLE: targets[0], CANDIDATE: targets[1]} | {alias: targets[2]}
    assert {name: each.target for name, each in registry.aliases(NAME).items()} == expected


def test_another_alias_may_move_meanwhile(registry: Registry, targets: list[Target]) -> None:
    save_verdict(registry, verdict(targets[0], targets[1]))
    busy = hooked(registry, "write", "aliases.json", lambda: name_version(registry, NAME, "next", "1.2.0"))
    promote(busy, NAME)
    named = {name: each.target for name, each in registry.aliases(NAME).items()}
    assert named == {STABLE: targets[1], CANDIDATE: targets[1], "next": targets[2]}


def test_a_verdict_that_is_saved_at_the_same_time_is_replaced(registry: Registry, targets: list[Target]) -> None:
    first, second, _ = targets
    busy = hooked(registry, "write", ".json", lambda: save_verdict(registry, verdict(first, second)))
    save_verdict(busy, verdict(first, second, WORSE))
    found = find_verdict(registry, NAME, first, second)
    assert found and found.verdict == WORSE


def test_a_version_that_is_not_complete_is_not_promoted(registry: Registry, targets: list[Target]) -> None:
    save_verdict(registry, verdict(targets[0], targets[1]))
    path = f"{NAME}/1.1.0/labels.txt"
    registry.storage.delete(path, registry.storage.files(f"{NAME}/1.1.0")["labels.txt"])
    with pytest.raises(RegistryError, match=r"1\.1\.0 in .* is not complete"):
        promote(registry, NAME, force=True)
    with pytest.raises(RegistryError, match="is not complete"):
        save_verdict(registry, replace(verdict(targets[0], targets[1]), verdict=WORSE))
