"""Versions of a registry in a folder and in a bucket: they never change, and are complete or refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model.artifact.fetch import fetch_artifact
from model.artifact.load import CARD, EVALUATION, read_artifact
from model.artifact.manifest import MANIFEST
from model.errors import ArtifactError, RegistryError
from model.registry.listing import list_versions
from model.registry.moves import set_alias
from model.registry.registry import Registry
from model.registry.storage import Stored
from tests.registries import delete, entries, replace
from tests.registry_models import NAME


def test_a_pushed_version_is_complete_and_can_be_fetched(
    registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    pushed = registry.push(artifacts("1.0.0"))
    assert registry.names() == [NAME] and registry.versions(NAME) == ["1.0.0"]
    found = read_artifact(fetch_artifact(pushed.address, tmp_path / "cache"))
    assert (found.name, found.version, found.digest) == (NAME, "1.0.0", pushed.target.digest)
    assert {f"1.0.0/{CARD}", f"1.0.0/{EVALUATION}"} <= entries(registry).keys()
    assert not [path for path in entries(registry) if ".partial" in path]


def test_a_version_never_changes(registry: Registry, artifacts: Callable[[str], Path]) -> None:
    registry.push(artifacts("1.0.0"))
    before = entries(registry)
    with pytest.raises(RegistryError, match=r"1\.0\.0 holds another artifact.*--version"):
        registry.push(artifacts("1.1.0"), version="1.0.0")
    registry.push(artifacts("1.0.0"))
    assert entries(registry) == before, "what is there is not written again"


def test_a_model_can_be_pushed_under_another_name(registry: Registry, artifacts: Callable[[str], Path]) -> None:
    made, renamed = registry.push(artifacts("1.0.0")), registry.push(artifacts("1.0.0"), "clothing", "2.0.0")
    assert registry.names() == ["clothing", NAME]
    assert renamed.target.version == "2.0.0" and renamed.target.digest == made.target.digest


def test_push_finds_other_bytes_of_the_same_size(
    registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    registry.push(artifacts("1.0.0"))
    good = (artifacts("1.0.0") / "model.tflite").read_bytes()
    replace(registry, "1.0.0/model.tflite", bytes(len(good)), tmp_path)
    registry.push(artifacts("1.0.0"))
    address = registry.address_of(NAME, "1.0.0")
    assert (fetch_artifact(address, tmp_path / "cache") / "model.tflite").read_bytes() == good


@pytest.mark.parametrize("content", [None, b"half"])
def test_a_version_with_a_missing_or_cut_off_file_is_not_complete(
    content: bytes | None, registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    registry.push(artifacts("1.0.0"))
    if content is None:
        delete(registry, "1.0.0/labels.txt")
    else:
        replace(registry, "1.0.0/labels.txt", content, tmp_path)
    with pytest.raises(RegistryError, match=r"not complete: labels\.txt is missing or cut off; push it again"):
        set_alias(registry, NAME, "stable", "1.0.0")
    [listed] = list_versions(registry, NAME)
    assert listed.manifest is None and "labels.txt" in listed.problem
    registry.push(artifacts("1.0.0"))
    assert set_alias(registry, NAME, "stable", "1.0.0").after


def test_a_version_that_was_copied_by_hand_is_refused(
    registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    registry.push(artifacts("1.0.0"))
    for path in artifacts("1.0.0").rglob("*"):
        if path.is_file():
            replace(registry, f"2.0.0/{path.relative_to(artifacts('1.0.0'))}", path.read_bytes(), tmp_path)
    with pytest.raises(RegistryError, match=r"2\.0\.0 holds fashion-mnist 1\.0\.0: it was copied by hand"):
        set_alias(registry, NAME, "stable", "2.0.0")
    with pytest.raises(RegistryError, match="copied by hand"):
        registry.push(artifacts("1.0.0"), version="2.0.0")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1, "files": {"../x": {}}}'])
def test_a_damaged_manifest_is_named(
    content: bytes, registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    registry.push(artifacts("1.0.0"))
    replace(registry, f"1.0.0/{MANIFEST}", content, tmp_path)
    with pytest.raises(RegistryError, match=r"registry/fashion-mnist/1\.0\.0"):
        registry.version(NAME, "1.0.0")
    [listed] = list_versions(registry, NAME)
    assert listed.problem


def test_a_push_that_was_killed_is_completed(
    registry_address: str, registry: Registry, artifacts: Callable[[str], Path], root: Path
) -> None:
    script = f"""
import os, signal
from pathlib import Path
from model.registry.registry import Registry
registry = Registry.at({registry_address!r})
upload = type(registry.storage).upload
def killed(storage, path, file):
    if path.endswith("saved_model.pb"):
        os.kill(os.getpid(), signal.SIGKILL)
    upload(storage, path, file)
type(registry.storage).upload = killed
registry.push(Path({str(artifacts("1.0.0"))!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=root, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    before = entries(registry)
    assert f"1.0.0/{MANIFEST}" in before
    with pytest.raises(RegistryError, match="not complete"):
        registry.version(NAME, "1.0.0")
    registry.push(artifacts("1.0.0"))
    after = entries(registry)
    assert {path: after[path] for path in before} == before, "what had arrived is not written again"


def test_the_registry_says_what_it_has(registry: Registry, artifacts: Callable[[str], Path]) -> None:
    registry.push(artifacts("1.0.0"))
    stored = registry.storage.read(f"{NAME}/1.0.0/{MANIFEST}")
    assert isinstance(stored, Stored)
    [listed] = list_versions(registry, NAME)
    assert listed.pushed_at <= listed.changed_at and listed.size > 2_000_000
    assert os.path.basename(registry.address) == "registry"


def test_a_push_uploads_no_file_from_outside_of_the_artifact(
    registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(artifacts("1.0.0"), tmp_path / "hostile")
    (tmp_path / "id_rsa").write_text("secret")
    (folder / CARD).unlink()
    (folder / CARD).symlink_to(tmp_path / "id_rsa")
    with pytest.raises(ArtifactError, match="is a link to a file outside of it"):
        registry.push(folder)
    assert registry.versions(NAME) == []
