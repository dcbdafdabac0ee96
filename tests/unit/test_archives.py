"""Zip archives of images: hostile names, damage, bombs, and many entries."""

from __future__ import annotations

import random
import stat
import struct
import threading
import time
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from client.archive import MAX_ENTRY_BYTES, read_entry
from client.images import ArchivedImage
from client.sources.selection import Selection
from client.sources.source import Source
from model.image_folder import counted


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def source(*paths: str, **chosen: list[str]) -> Source:
    return Source(Selection(paths, **chosen), lambda bucket, prefix: ())  # type: ignore[arg-type]


def packed(entries: dict[str, bytes], name: str = "photos.zip", how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(name, "w", how) as made:
        for entry, content in entries.items():
            made.writestr(entry, content)
    return Path(name)


def changed(path: Path, find: bytes, replace: Callable[[bytearray, int], None]) -> None:
    """Change the archive at each place where `find` is."""
    data, at = bytearray(path.read_bytes()), 0
    while (at := data.find(find, at)) >= 0:
        replace(data, at)
        at += len(find)
    path.write_bytes(data)


def put(format: str, at: int, value: int) -> Callable[[bytearray, int], None]:
    return lambda data, start: struct.pack_into(format, data, start + at, value)


_CENTRAL = b"PK\1\2"
"""The start of an entry of the directory. At 8: flags; 10: compression; 16: CRC; 24: size (APPNOTE, 4.3.12)."""


def test_the_images_of_an_archive_keep_their_folders() -> None:
    entries = ["a.png", "cat/b.JPG", "cat/", ".c.png", "__MACOSX/cat/._b.jpg", "cat/notes.txt", "d.png.explained.png"]
    packed({name: name.encode() for name in entries}, "Photos.ZIP")
    made = source("Photos.ZIP")
    images = list(made.images())
    assert images == [
        ArchivedImage(Path("Photos.ZIP"), "a.png", "a.png"),
        ArchivedImage(Path("Photos.ZIP"), "cat/b.JPG", "cat/b.JPG"),
    ]
    assert [image.read() for image in images] == [b"a.png", b"cat/b.JPG"] and images[1].size() == 9
    assert images[1].filename == "b.JPG" and images[1].location == "Photos.ZIP/cat/b.JPG"
    assert counted(made.left_out) == "2 hidden or system files, 1 .txt, 1 explanations" and not made.problems


def test_an_archive_is_taken_from_a_glob_and_left_out_of_a_folder(folder: Path) -> None:
    (folder / "sub").mkdir()
    packed({"a.png": b"x"}, "sub/x.zip")
    assert [image.location for image in source("sub/*.zip").images()] == ["sub/x.zip/a.png"]
    made = source("sub")
    assert not list(made.images()) and made.left_out == {".zip": 1}


def test_one_entry_can_be_named() -> None:
    packed({"cat/.a": b"x", "b.png": b"y"})
    Path("list.txt").write_text("photos.zip/b.png\nphotos.zip/c.png\n")
    made = Source(Selection(["photos.zip/cat/.a"], ["list.txt"]), lambda bucket, prefix: ())
    assert [image.read() for image in made.images()] == [b"x", b"y"]
    assert made.problems[0].startswith("list.txt line 2: no file is at photos.zip/c.png")


def test_entries_are_chosen() -> None:
    packed({"cat/a.png": b"x", "dog/a.png": b"y", "dog/b.jpg": b"z"})
    made = source("photos.zip", include=["dog/*"], exclude=["*.jpg"])
    assert [image.name for image in made.images()] == ["dog/a.png"] and made.left_out == {"excluded": 2}


def test_names_of_entries_lead_nowhere() -> None:
    names = ["../../etc/a.png", "/etc/b.png", r"C:\cat\c.png", r"..\d.png", "//x/e.png", "line\nbreak.png", "./a.png"]
    packed({name: name.encode() for name in names})
    images = list(source("photos.zip").images())
    expected = ["etc/a.png", "etc/b.png", "cat/c.png", "d.png", "x/e.png", "line\nbreak.png", "a.png"]
    assert [image.name for image in images] == expected
    assert [image.read() for image in images] == [name.encode() for name in names]
    assert images[2].filename == "c.png"


@pytest.mark.parametrize(
    ("at", "format", "value", "why"),
    [
        (8, "<H", 1, "it is encrypted"),
        (10, "<H", 97, "its compression method is 97; it must be 0 (store) or 8 (deflate)"),
        (24, "<I", MAX_ENTRY_BYTES + 1, "it has 100,000,001 bytes; at most 100,000,000 are read"),
        (38, "<I", (stat.S_IFLNK | 0o777) << 16, "it is a symbolic link"),
    ],
)
def test_an_entry_that_cannot_be_read_is_a_problem(at: int, format: str, value: int, why: str) -> None:
    path = packed({"bad.png": b"x" * 100})
    changed(path, _CENTRAL, put(format, at, value))
    with zipfile.ZipFile(path, "a") as changing:
        changing.writestr("good.png", b"y")
    made = source("photos.zip")
    assert [image.name for image in made.images()] == ["good.png"]
    assert made.problems == [f"photos.zip/bad.png: {why}"]
    if "link" not in why:
        with pytest.raises(OSError, match="cannot be read: it"):
            read_entry(path, "bad.png")


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_may_fill_the_memory_are_not_read(how: int) -> None:
    packed({"bomb.png": bytes(1000)}, how=how)
    made = source("photos.zip")
    assert not list(made.images()) and "it must be 0 (store) or 8 (deflate)" in made.problems[0]


def test_two_entries_of_one_name_are_a_problem() -> None:
    with zipfile.ZipFile("photos.zip", "w") as made, pytest.warns(UserWarning, match="Duplicate name"):
        made.writestr("a.png", b"first")
        made.writestr("a.png", b"last")
    read = source("photos.zip")
    assert [image.read() for image in read.images()] == [b"last"]
    assert read.problems == ["photos.zip/a.png: the archive has another entry of this name, which is sent"]


@pytest.mark.parametrize("stated", [0, 1, 10, 5_000])
def test_a_bomb_is_not_unpacked_beyond_its_stated_size(stated: int) -> None:
    path = packed({"bomb.png": bytes(50_000_000)})
    changed(path, _CENTRAL, put("<I", 24, stated))
    tracemalloc.start()
    with pytest.raises(OSError, match="damaged"):
        read_entry(path, "bomb.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_an_entry_that_ends_early_is_refused() -> None:
    path = packed({"a.png": b"x" * 1000})
    changed(path, _CENTRAL, put("<I", 24, 1001))
    with pytest.raises(OSError, match="ends after 1,000 of 1,001 bytes"):
        read_entry(path, "a.png")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4", b"PK\5\6" + bytes(10)])
def test_what_is_no_archive_is_a_problem(content: bytes) -> None:
    Path("x.zip").write_bytes(content)
    packed({"a.png": b"x"})
    made = source("x.zip", "photos.zip")
    assert [image.name for image in made.images()] == ["a.png"]
    [problem] = made.problems
    assert problem.startswith("x.zip: the archive is damaged, or is no zip archive")


def test_damage_anywhere_is_an_error_of_the_operating_system_or_a_problem() -> None:
    """Whatever bytes change: an entry is read as it was, is refused with an OSError, or has become a problem."""
    contents = {f"{number}.png": random.Random(number).randbytes(60) + bytes(60) for number in range(4)}
    whole = packed(contents).read_bytes()
    draw, outcomes = random.Random(7), Counter[str]()
    for round in range(400):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3))):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path = Path(f"{round}.zip")
        path.write_bytes(data[: draw.choice((len(data), len(data), draw.randrange(len(data))))])
        made = source(str(path))
        for image in made.images():
            try:
                read = image.read()
            except OSError as exc:
                assert str(exc.strerror).isprintable()
                outcomes["refused"] += 1
            else:
                outcomes["read"] += 1
                assert read in contents.values()
        outcomes["problems"] += len(made.problems)
    assert min(outcomes[name] for name in ("refused", "read", "problems")) > 20, outcomes


def test_the_directory_of_an_archive_is_read_once_for_all_its_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    packed({f"{number}.png": b"%d" % number for number in range(300)})
    opened, open_archive = [], zipfile.ZipFile

    def counting(path: Path) -> zipfile.ZipFile:
        opened.append(path)
        return open_archive(path)

    monkeypatch.setattr(zipfile, "ZipFile", counting)
    images = list(source("photos.zip").images())
    assert [image.read() for image in images] == [b"%d" % number for number in range(300)] and len(opened) == 1


def test_an_archive_that_is_replaced_is_opened_again() -> None:
    packed({"a.png": b"old"})
    [image] = source("photos.zip").images()
    assert image.read() == b"old"
    packed({"b.png": b"", "a.png": b"newer"})
    assert image.read() == b"newer"
    packed({"b.png": b""})
    with pytest.raises(OSError, match="no such entry any more"):
        image.read()
    Path("photos.zip").unlink()
    with pytest.raises(FileNotFoundError):
        image.size()


def test_threads_may_read_entries_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zipfile module counts the entries that are open without a lock, so one is read after the other."""
    contents = {f"{number}.png": random.Random(number).randbytes(20_000) for number in range(20)}
    packed(contents)
    images, wrong, reading = list(source("photos.zip").images()), list[str](), list[int]()
    open_entry = zipfile.ZipFile.open

    def counting(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
        reading.append(1)
        time.sleep(0.0005)
        if len(reading) > 1:
            wrong.append("two at once")
        reading.pop()
        return open_entry(opened, entry)

    monkeypatch.setattr(zipfile.ZipFile, "open", counting)

    def read() -> None:
        wrong.extend(image.location for image in images if image.open().read() != contents[image.name])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
