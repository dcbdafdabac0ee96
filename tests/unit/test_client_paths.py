"""From what is typed to pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.paths import Picture, expand
from client.upload import object_names


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.png", "b.JPG", "notes.txt", "sub/c.webp", "sub/deep/d.avif", "e[1].png"):
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*given: str) -> list[str]:
    return [picture.name for picture in expand(given)[0]]


def test_a_file_is_taken_whatever_its_name(shop: Path) -> None:
    assert names("shop/notes.txt", "shop/a.png") == ["notes.txt", "a.png"]


def test_a_folder_gives_its_images_at_any_depth_with_their_paths_below_it(shop: Path) -> None:
    assert names("shop") == ["a.png", "b.JPG", "e[1].png", "sub/c.webp", "sub/deep/d.avif"]


def test_globs(shop: Path) -> None:
    assert names("shop/*.png") == ["a.png", "e[1].png"]
    assert names("shop/**/*.avif") == ["d.avif"]
    assert names("shop/su?") == ["c.webp", "deep/d.avif"]


def test_a_name_that_exists_is_no_glob(shop: Path) -> None:
    assert names("shop/e[1].png") == ["e[1].png"]


def test_each_file_once(shop: Path) -> None:
    assert names("shop/a.png", "shop/*.png", "shop/a.png") == ["a.png", "e[1].png"]


def test_what_matches_nothing_is_said(shop: Path) -> None:
    (shop / "empty").mkdir()
    pictures, unmatched = expand(["nope.png", "*.gif", "empty", "shop/a.png"])
    assert [picture.path for picture in pictures] == [Path("shop/a.png")]
    assert unmatched == ["nope.png", "*.gif", "empty"]


def test_what_is_no_file_is_not_opened(shop: Path) -> None:
    os.mkfifo(shop / "shop" / "pipe.png")
    (shop / "loop.png").symlink_to("loop.png")
    assert "pipe.png" not in names("shop")
    assert expand(["shop/pipe.png", "loop.png"]) == ([], ["shop/pipe.png", "loop.png"])


def test_object_names_keep_folders_and_are_never_equal() -> None:
    pictures = [Picture(Path(path), name) for path, name in [("x/a", "a"), ("y/a", "a"), ("z/s/b", "s/b")]]
    assert list(object_names(pictures, "in/").values()) == ["in/a", "in/2-a", "in/s/b"]


def test_object_names_are_what_a_bucket_takes() -> None:
    name = object_names([Picture(Path("p"), "line\nbreak\r" + "é" * 2000)], "in/")
    [made] = name.values()
    assert made.startswith("in/line_break_é") and len(made.encode()) <= 1024
