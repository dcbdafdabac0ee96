"""Moving files that are answered: nothing is overwritten, and what a kill interrupted is completed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import pytest

from client.gcp import UsageError
from client.watching import done_folder
from client.watching.done_folder import DoneFolder
from client.watching.file_version import Changed, FileVersion, Found

KINDS = ("same file system", "no such call", "other file system")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The ways in which file systems move files. Of two systems, `in` is one and all else is the other."""
    rename, replace, source = done_folder._rename_at_once, os.replace, tmp_path / "in"

    def crosses(one: object, other: object) -> bool:
        return Path(str(one)).is_relative_to(source) != Path(str(other)).is_relative_to(source)

    def fake_rename(one: Path, other: Path) -> bool:
        if request.param == "other file system" and crosses(one, other):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return request.param != "no such call" and rename(one, other)

    def fake_replace(one: Path, other: Path) -> None:
        assert not (request.param == "other file system" and crosses(one, other))
        replace(one, other)

    monkeypatch.setattr(done_folder, "_rename_at_once", fake_rename)
    monkeypatch.setattr(os, "replace", fake_replace)
    return str(request.param)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def version_of(folder: Path, name: str) -> FileVersion:
    status = (folder / name).stat()
    return Found(name, status.st_size, status.st_mtime_ns).version(folder, "salt")


def move(done: DoneFolder, folder: Path, name: str, data: bytes, *, is_error: bool = False) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(7_000_000_007, 7_000_000_007))
    moved = done.move(version_of(folder, name), is_error=is_error)
    assert not path.exists() and moved.stat().st_mtime_ns == 7_000_000_007
    return moved


@pytest.mark.usefixtures("kind")
def test_files_keep_their_paths_and_equal_names_get_numbers(folder: Path, tmp_path: Path) -> None:
    done = DoneFolder(tmp_path / "done", folder)
    for data in (b"1", b"2", b"3"):
        move(done, folder, "sub/a.jpg", data)
    move(done, folder, "sub/a.jpg", b"bad", is_error=True)
    expected = {"sub/a.jpg": b"1", "sub/2-a.jpg": b"2", "sub/3-a.jpg": b"3", "errors/sub/a.jpg": b"bad"}
    assert files(tmp_path / "done") == expected
    move(DoneFolder(tmp_path / "done", folder), folder, "sub/a.jpg", b"4")  # after a restart
    assert files(tmp_path / "done") == expected | {"sub/4-a.jpg": b"4"}
    assert files(folder) == {}


@pytest.mark.usefixtures("kind")
def test_a_name_that_another_program_takes_is_not_overwritten(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = os.path.lexists

    def too_late(path: Path) -> bool:
        if str(path).endswith("/done/a.jpg") and not exists(path):
            Path(path).write_bytes(b"theirs")
            return False
        return exists(path)

    monkeypatch.setattr(os.path, "lexists", too_late)
    moved = move(DoneFolder(tmp_path / "done", folder), folder, "a.jpg", b"ours")
    monkeypatch.undo()
    assert moved.name == "2-a.jpg"
    assert files(tmp_path / "done") == {"a.jpg": b"theirs", "2-a.jpg": b"ours"}


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_what_is_written_while_a_file_is_moved_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path, target = folder / "a.jpg", tmp_path / "done" / "a.jpg"
    written: list[int] = []

    def write_once() -> None:
        """Write over the file, if it is still there, as soon as it is seen in the other folder."""
        if target.exists() and not written:
            written.append(path.write_bytes(b"the next"))

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            write_once()
            result = call(*arguments)
            write_once()
            return result

        return wrapper

    for name in ("link", "rename", "replace", "remove", "unlink"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    monkeypatch.setattr(done_folder, "_rename_at_once", watched(done_folder._rename_at_once))
    path.write_bytes(b"first")
    with pytest.raises(Changed) if kind == "no such call" else nullcontext():
        DoneFolder(tmp_path / "done", folder).move(version_of(folder, "a.jpg"), is_error=False)
        assert target.read_bytes() == b"first"
    assert written and files(folder) == {"a.jpg": b"the next"}


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_version_that_was_not_answered_keeps_its_name(folder: Path, tmp_path: Path, kind: str) -> None:
    done = DoneFolder(tmp_path / "done", folder)
    (folder / "a.jpg").write_bytes(b"first")
    answered = version_of(folder, "a.jpg")
    (folder / "a.jpg").write_bytes(b"the next")
    with pytest.raises(Changed):
        done.move(answered, is_error=False)
    assert files(folder) == {"a.jpg": b"the next"} and files(tmp_path / "done") == {}


@pytest.mark.parametrize("kind", ["other file system"], indirect=True)
def test_a_version_that_appears_while_the_answered_one_is_copied_keeps_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (folder / "a.jpg").write_bytes(b"first")
    answered, copy = version_of(folder, "a.jpg"), shutil.copyfileobj

    def slowly(source: IO[bytes], file: IO[bytes]) -> None:
        copy(source, file)
        (folder / "new").write_bytes(b"the next")
        (folder / "new").rename(folder / "a.jpg")

    monkeypatch.setattr(shutil, "copyfileobj", slowly)
    assert DoneFolder(tmp_path / "done", folder).move(answered, is_error=False).read_bytes() == b"first"
    assert files(folder) == {"a.jpg": b"the next"} and files(tmp_path / "done") == {"a.jpg": b"first"}


def test_a_link_and_a_folder_of_the_name_stay(folder: Path, tmp_path: Path) -> None:
    done = tmp_path / "done"
    (done / "2-a.jpg").mkdir(parents=True)
    (done / "a.jpg").symlink_to(tmp_path / "victim.jpg")
    assert move(DoneFolder(done, folder), folder, "a.jpg", b"ours") == done / "3-a.jpg"
    assert not (tmp_path / "victim.jpg").exists()


@pytest.mark.parametrize("how", ["linked", "copied"])
def test_a_move_that_was_killed_before_its_end_is_completed(folder: Path, tmp_path: Path, how: str) -> None:
    done = tmp_path / "done"
    done.mkdir()
    (done / "a.jpg").write_bytes(b"other")
    (folder / "a.jpg").write_bytes(b"image")
    (os.link if how == "linked" else shutil.copy2)(folder / "a.jpg", done / "2-a.jpg")
    assert DoneFolder(done, folder).move(version_of(folder, "a.jpg"), is_error=False) == done / "2-a.jpg"
    assert files(done) == {"a.jpg": b"other", "2-a.jpg": b"image"} and files(folder) == {}


def test_a_file_of_the_same_size_and_time_is_no_copy_without_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    done = DoneFolder(tmp_path / "done", folder)
    move(done, folder, "a.jpg", b"one")
    move(done, folder, "a.jpg", b"two")
    assert files(tmp_path / "done") == {"a.jpg": b"one", "2-a.jpg": b"two"}


@pytest.mark.parametrize("kind", ["other file system"], indirect=True)
def test_a_full_disk_leaves_the_file_and_no_part(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def full(source: object, file: object) -> None:
        file.write(b"ha")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    (folder / "a.jpg").write_bytes(b"image")
    with pytest.raises(OSError, match="No space"):
        DoneFolder(tmp_path / "done", folder).move(version_of(folder, "a.jpg"), is_error=False)
    assert files(folder) == {"a.jpg": b"image"} and files(tmp_path / "done") == {}


def test_a_part_that_a_kill_left_is_replaced(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(done_folder, "_move", done_folder._copy)
    done = DoneFolder(tmp_path / "done", folder)
    (folder / "a.jpg").write_bytes(b"image")
    replace = Path.unlink
    with monkeypatch.context() as patch:  # a process that is killed removes nothing
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        patch.setattr(done_folder, "_rename", lambda path, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            done.move(version_of(folder, "a.jpg"), is_error=False)
    assert Path.unlink is replace and len(files(tmp_path / "done")) == 1
    done.move(version_of(folder, "a.jpg"), is_error=False)
    assert files(tmp_path / "done") == {"a.jpg": b"image"}


@pytest.mark.parametrize("done", ["in", "in/done", ".", "link"])
def test_neither_folder_may_contain_the_other(folder: Path, tmp_path: Path, done: str) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UsageError, match=r"--move-to is .*; it must be outside of .*in, and not above it"):
        DoneFolder(tmp_path / done, folder)
    assert not (folder / "done").exists()


def test_a_folder_that_cannot_be_created_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--move-to .*file/done cannot be created: not a directory"):
        DoneFolder(tmp_path / "file" / "done", folder)


def test_files_stay_while_the_folder_is_missing_or_not_mounted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = DoneFolder(tmp_path / "done", folder)
    (folder / "a.jpg").write_bytes(b"image")
    (tmp_path / "done").rmdir()
    with pytest.raises(FileNotFoundError):
        done.move(version_of(folder, "a.jpg"), is_error=False)
    (tmp_path / "done").mkdir()
    monkeypatch.setattr(done, "_device", -1)
    with pytest.raises(OSError, match="done is on another disk than before"):
        done.move(version_of(folder, "a.jpg"), is_error=False)
    assert files(folder) == {"a.jpg": b"image"} and files(tmp_path / "done") == {}
