"""The registry in a folder and in a bucket: versions never change, and writers at the same time lose nothing."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from infra.local.storage.server import StorageServer
from model.artifact.fetch import fetch_artifact
from model.artifact.load import read_artifact
from model.artifact.manifest import MANIFEST
from model.errors import NotRegistered, RegistryError
from model.registry.aliases import ALIASES, Alias
from model.registry.garbage import delete_garbage, find_garbage
from model.registry.listing import list_versions
from model.registry.moves import delete_alias, roll_back, set_alias
from model.registry.names import parse_ref
from model.registry.registry import CARD, Registry
from model.registry.storage import Entry, Storage, Stored
from tests.registry_models import NAME, push, variant

AT_ONCE = timedelta(0)
BUCKETS = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def address(
    request: pytest.FixtureRequest, server: StorageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An empty registry. No project is known, as on a machine with nothing but credentials."""
    if request.param == "folder":
        return str(tmp_path / "registry")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with storage.Client(project="local") as client:
        bucket = client.create_bucket(f"models-{next(BUCKETS)}")
    return f"gs://{bucket.name}/registry"


@pytest.fixture
def registry(address: str) -> Iterator[Registry]:
    registry = Registry.at(address)
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Artifacts by version, each with other labels."""
    made: dict[str, Path] = {}

    def artifact(version: str) -> Path:
        if version not in made:
            made[version] = variant(tmp_path_factory.mktemp("artifact") / "made", version)
        return made[version]

    return artifact


class Hooked:
    """A storage that calls `before` with the method and the path before it writes, uploads or deletes."""

    def __init__(self, storage: Storage, before: Callable[[str, str], None]) -> None:
        self._storage, self._before = storage, before

    def write(self, path: str, content: bytes, generation: str) -> None:
        self._before("write", path)
        self._storage.write(path, content, generation)

    def upload(self, path: str, file: Path) -> None:
        self._before("upload", path)
        self._storage.upload(path, file)

    def delete(self, path: str, entry: Entry) -> None:
        self._before("delete", path)
        self._storage.delete(path, entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def hooked(registry: Registry, method: str, end: str, action: Callable[[], object]) -> Registry:
    """The registry; `action` runs once, before the first call of this method for a path that ends like this."""
    left = [action]

    def before(called: str, path: str) -> None:
        if left and called == method and path.endswith(end):
            left.pop()()

    return Registry(Hooked(registry.storage, before))


def entries(registry: Registry) -> dict[str, Entry]:
    return dict(registry.storage.files(NAME))


def replace(registry: Registry, path: str, content: bytes, scratch: Path) -> None:
    (scratch / "replaced").write_bytes(content)
    registry.storage.upload(f"{NAME}/{path}", scratch / "replaced")


def delete(registry: Registry, path: str) -> None:
    registry.storage.delete(f"{NAME}/{path}", entries(registry)[path])


def test_a_pushed_version_is_complete_and_can_be_fetched(
    registry: Registry, artifacts: Callable[[str], Path], tmp_path: Path
) -> None:
    pushed = registry.push(artifacts("1.0.0"))
    assert registry.names() == [NAME] and registry.versions(NAME) == ["1.0.0"]
    found = read_artifact(fetch_artifact(pushed.address, tmp_path / "cache"))
    assert (found.name, found.version, found.digest) == (NAME, "1.0.0", pushed.target.digest)
    assert f"1.0.0/{CARD}" in entries(registry)
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
    address: str, registry: Registry, artifacts: Callable[[str], Path], root: Path
) -> None:
    script = f"""
import os, signal
from pathlib import Path
from model.registry.registry import Registry
registry = Registry.at({address!r})
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


def test_threads_that_move_one_alias_lose_no_move(address: str, registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, *(f"1.{number}.0" for number in range(4)))
    set_alias(registry, NAME, "stable", "1.0.0")
    won: list[str] = []
    start = threading.Barrier(3)

    def move(version: str) -> None:
        own = Registry.at(address)
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


def test_processes_that_set_different_aliases_lose_none(
    address: str, registry: Registry, tmp_path: Path, root: Path
) -> None:
    push(registry, tmp_path, "1.0.0")
    names = [f"a{number}" for number in range(3)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "model", "alias", "set", NAME, name, "1.0.0", "--registry", address], cwd=root
        )
        for name in names
    ]
    assert [process.wait(60) for process in running] == [0] * 3
    assert sorted(registry.aliases(NAME)) == names


def test_rollback_goes_back_and_pauses_a_canary(registry: Registry, tmp_path: Path) -> None:
    first, second, third = push(registry, tmp_path, "1.0.0", "1.1.0", "1.2.0")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        set_alias(registry, NAME, "candidate", version, 20, True)
    move = roll_back(registry, NAME, "candidate")
    assert move.before and move.before.target == third
    assert move.after
    assert (move.after.target, move.after.percent, move.after.shadow) == (second, 0, False)
    assert move.after.previous == (first,)
    with pytest.raises(RegistryError, match=r"names 1\.1\.0; it has not named 1\.2\.0 before; it named 1\.0\.0"):
        roll_back(registry, NAME, "candidate", "1.2.0")
    assert roll_back(registry, NAME, "candidate", "1.0.0").aliases["candidate"].target == first
    with pytest.raises(RegistryError, match="nothing to roll back to"):
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
            set_alias(registry, NAME, "stable", "1.0.0", **refused)  # type: ignore[arg-type]
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


def test_pushes_moves_and_gc_at_once(address: str, artifacts: Callable[[str], Path]) -> None:
    versions = [f"1.{number}.0" for number in range(3)]
    refused: list[str] = []

    def repeat(action: Callable[[Registry, str], object]) -> Callable[[], None]:
        def run() -> None:
            own = Registry.at(address)
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
    Registry.at(address).push(artifacts("1.0.0"))
    set_alias(Registry.at(address), NAME, "stable", "1.0.0")
    threads = [threading.Thread(target=repeat(action)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = Registry.at(address)
    named: list[Alias] = list(registry.aliases(NAME).values())
    assert named
    for alias in named:
        for target in (alias.target, *alias.previous):
            assert registry.version(NAME, target.version).target == target, refused
    assert registry.alias_file(NAME).deleting == frozenset()
    allowed = ("being deleted", "has no version", "decide again", "change all the time", "not complete", "all the time")
    assert [each for each in refused if not any(text in each for text in allowed)] == []


def test_the_registry_says_what_it_has(registry: Registry, artifacts: Callable[[str], Path]) -> None:
    registry.push(artifacts("1.0.0"))
    stored = registry.storage.read(f"{NAME}/1.0.0/{MANIFEST}")
    assert isinstance(stored, Stored)
    [listed] = list_versions(registry, NAME)
    assert listed.pushed_at <= listed.changed_at and listed.size > 4_000_000
    assert os.path.basename(registry.address) == "registry"
