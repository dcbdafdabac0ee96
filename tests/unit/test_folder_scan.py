"""The scan of a watched folder: which files it takes, and when they are complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.watching.file_version import Changed, Found, request_id_of
from client.watching.folder_scan import EMPTY, FolderScan


class Clock:
    """A clock that tests move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def names(found: list[Found]) -> list[str]:
    return [each.name for each in found]


def put(path: Path, data: bytes = b"image", mtime_ns: int = 1_000_000_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_a_file_is_complete_when_it_does_not_change_for_the_settling_time(folder: Path, clock: Clock) -> None:
    scan = FolderScan(folder, 1.0, clock)
    put(folder / "a.jpg")
    assert scan.scan() == [] and scan.is_changing
    clock.now = 0.99
    assert scan.scan() == []
    clock.now = 1.0
    assert scan.scan() == [Found("a.jpg", 5, 1_000_000_000)] and not scan.is_changing
    clock.now = 50.0
    assert scan.scan() == []


@pytest.mark.parametrize("change", [(b"longer", 1_000_000_000), (b"image", 1_000_000_001)])
def test_a_file_that_changes_must_settle_again_and_is_found_again(
    folder: Path, clock: Clock, change: tuple[bytes, int]
) -> None:
    scan = FolderScan(folder, 1.0, clock)
    put(folder / "a.jpg")
    scan.scan()
    clock.now = 0.9
    put(folder / "a.jpg", *change)
    assert scan.scan() == []
    clock.now = 1.8
    assert scan.scan() == []
    clock.now = 1.9
    assert names(scan.scan()) == ["a.jpg"]
    put(folder / "a.jpg", b"another image")
    assert scan.scan() == [] and scan.is_changing
    clock.now = 3.0
    assert scan.scan() == [Found("a.jpg", 13, 1_000_000_000)]


def test_a_file_is_taken_after_it_is_renamed(folder: Path, clock: Clock) -> None:
    scan = FolderScan(folder, 1.0, clock)
    put(folder / "a.jpg.part")
    put(folder / ".b.jpg")
    scan.scan()
    clock.now = 5.0
    assert scan.scan() == [] and not scan.is_changing
    (folder / "a.jpg.part").rename(folder / "a.jpg")
    (folder / ".b.jpg").rename(folder / "b.jpg")
    assert scan.scan() == []
    clock.now = 6.0
    assert names(scan.scan()) == ["a.jpg", "b.jpg"]


def test_the_rules_of_folders_apply(folder: Path, clock: Clock, tmp_path: Path) -> None:
    for name in ("1/2/deep.PNG", "z.avif", "b.heic", "note", ".hidden/a.jpg", "__MACOSX/a.jpg", "a.explained.png"):
        put(folder / name)
    put(folder / "empty.jpg", b"")
    put(tmp_path / "secret.jpg")
    (folder / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "up").symlink_to(tmp_path)
    (folder / "in.jpg").symlink_to(folder / "z.avif")
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    scan = FolderScan(folder, 1.0, clock)
    scan.scan()
    clock.now = 1.0
    assert names(scan.scan()) == ["in.jpg", "z.avif", "1/2/deep.PNG"]
    assert scan.left_out == {".heic": 1, "without an ending": 1, EMPTY: 1}
    assert {Path(path).name for path in scan.problems} == {"out.jpg", "up"}
    assert all("leads out" in why for why in scan.problems.values())


def test_a_folder_that_vanishes_is_an_error_and_nothing_is_forgotten(folder: Path, clock: Clock) -> None:
    scan = FolderScan(folder, 1.0, clock)
    put(folder / "a.jpg")
    scan.scan()
    clock.now = 1.0
    assert names(scan.scan()) == ["a.jpg"]
    folder.rename(folder.with_name("away"))
    with pytest.raises(FileNotFoundError):
        scan.scan()
    folder.with_name("away").rename(folder)
    assert scan.scan() == [] and not scan.is_changing


def test_a_folder_that_may_not_be_read_is_named(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / "closed" / "a.jpg")
    put(folder / "open" / "b.jpg")
    listed = os.scandir

    def scandir(path: str) -> object:  # root may read every folder
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    scan = FolderScan(folder, 1.0, clock)
    scan.scan()
    clock.now = 1.0
    assert names(scan.scan()) == ["open/b.jpg"]
    assert scan.problems == {str(folder / "closed"): "(a folder that cannot be read)"}


def test_a_file_can_be_found_again_later(folder: Path, clock: Clock) -> None:
    scan = FolderScan(folder, 1.0, clock)
    for name in ("a.jpg", "b.jpg"):
        put(folder / name)
    scan.scan()
    clock.now = 1.0
    scan.scan()
    put(folder / "new.jpg")
    scan.find_again("a.jpg", 60.0)
    scan.find_again("gone.jpg", 60.0)
    clock.now = 60.9
    assert scan.scan() == []
    clock.now = 61.0
    assert names(scan.scan()) == ["a.jpg"]
    scan.find_all_again()
    assert names(scan.scan()) == ["a.jpg", "b.jpg"]
    clock.now = 62.0
    assert names(scan.scan()) == ["new.jpg"]


def test_the_request_id_is_that_of_the_version_in_this_job() -> None:
    given = ("job", "a.jpg", 5, 7)
    others = [("other", "a.jpg", 5, 7), ("job", "b.jpg", 5, 7), ("job", "a.jpg", 6, 7), ("job", "a.jpg", 5, 8)]
    ids = {request_id_of(*each) for each in [given, *others]}
    assert len(ids) == 5 and request_id_of(*given) in ids
    assert len(request_id_of("job", "not-utf8-\udcff.jpg", 5, 7)) == 32


def test_only_the_version_that_was_found_is_read(folder: Path) -> None:
    put(folder / "a.jpg")
    version = Found("a.jpg", 5, 1_000_000_000).version(folder, "job")
    assert version.is_current() and version.read() == b"image" and version.size() == 5
    with version.open() as file:
        assert file.read() == b"image"
    put(folder / "a.jpg", b"image", mtime_ns=2_000_000_000)
    assert not version.is_current()
    for read in (version.read, version.size, version.open):
        with pytest.raises(Changed, match="changed before"):
            read()
    (folder / "a.jpg").unlink()
    assert not version.is_current()
    with pytest.raises(FileNotFoundError):
        version.read()
