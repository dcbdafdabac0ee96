"""Command-line paths are expanded to image files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.images import AnyImage, ImageFile
from client.sources.selection import Selection
from client.sources.source import Source
from client.transport.bucket import object_name
from client.unique_names import unique_names


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.png", "b.JPG", "notes.txt", "sub/c.webp", "sub/deep/d.avif", "e[1].png"):
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*given: str) -> tuple[list[AnyImage], list[str]]:
    """The images that these paths name, and the problems."""
    source = Source(Selection(given), lambda *_: ())
    return list(source.images()), source.problems


def names(*given: str) -> list[str]:
    return [image.name for image in found(*given)[0]]


def test_a_file_is_taken_whatever_its_name(shop: Path) -> None:
    assert names("shop/notes.txt", "shop/a.png") == ["notes.txt", "a.png"]


def test_a_folder_gives_its_images_at_any_depth_with_their_paths_below_it(shop: Path) -> None:
    assert names("shop") == ["a.png", "b.JPG", "e[1].png", "sub/c.webp", "sub/deep/d.avif"]


def test_globs_are_expanded(shop: Path) -> None:
    assert names("shop/*.png") == ["a.png", "e[1].png"]
    assert names("shop/**/*.avif") == ["d.avif"]
    assert names("shop/su?") == ["c.webp", "deep/d.avif"]


def test_a_name_that_exists_is_no_glob(shop: Path) -> None:
    assert names("shop/e[1].png") == ["e[1].png"]


def test_each_file_once(shop: Path) -> None:
    assert names("shop/a.png", "shop/*.png", "shop/a.png") == ["a.png", "e[1].png"]


def test_paths_without_a_match_are_reported(shop: Path) -> None:
    (shop / "empty").mkdir()
    images, problems = found("nope.png", "*.gif", "empty", "shop/a.png")
    assert [image.location for image in images] == ["shop/a.png"]
    assert problems == [f"no image file is at {path}" for path in ("nope.png", "*.gif", "empty")]


def test_only_regular_files_are_opened(shop: Path) -> None:
    os.mkfifo(shop / "shop" / "pipe.png")
    (shop / "loop.png").symlink_to("loop.png")
    assert "pipe.png" not in names("shop")
    problems = [f"no image file is at {path}" for path in ("shop/pipe.png", "loop.png")]
    assert found("shop/pipe.png", "loop.png") == ([], problems)


def test_object_names_keep_folders_and_are_never_equal() -> None:
    images = [ImageFile(Path(path), name) for path, name in [("x/a", "a"), ("y/a", "a"), ("z/s/b", "s/b")]]
    images += [ImageFile(Path("w/S/B"), "S/B")]  # some file systems do not distinguish case
    assert [image.name for image in unique_names(images)] == ["a", "2-a", "s/b", "S/2-B"]


def test_names_that_a_bucket_would_cut_to_one_are_numbered() -> None:
    images = [ImageFile(Path(str(number)), "é" * 600 + str(number)) for number in range(3)]
    names = {object_name(image.name, "in/") for image in unique_names(images, "in/")}
    assert len(names) == 3 and max(len(name.encode()) for name in names) <= 1024


def test_many_files_of_one_name_are_numbered_at_once() -> None:
    images = [ImageFile(Path(f"{number}/a"), "a") for number in range(20_000)]
    numbered = ["a", *(f"{number}-a" for number in range(2, 20_001))]
    assert [image.name for image in unique_names([ImageFile(Path("3-a"), "3-a"), *images])] == [
        *("3-a", "a", "2-a"),
        *(f"{number}-a" for number in range(4, 20_002)),
    ]
    assert [image.name for image in unique_names(images)] == numbered


def test_object_names_are_valid_in_a_bucket() -> None:
    made = object_name("line\nbreak\r" + "é" * 2000, "in/")
    assert made.startswith("in/line_break_é") and len(made.encode()) <= 1024


@pytest.fixture
def trap(shop: Path) -> Path:
    """A folder with links that lead out of it and links that do not; gives the place outside."""
    outside = shop / "private"
    (outside / "deep").mkdir(parents=True)
    for name in ("key.png", "deep/key.png"):
        (outside / name).write_bytes(b"secret")
    (shop / "shop" / "file.png").symlink_to(outside / "key.png")
    (shop / "shop" / "chain.png").symlink_to("file.png")
    (shop / "shop" / "folder").symlink_to(outside)
    (shop / "shop" / "up").symlink_to("..")
    (shop / "shop" / "same.png").symlink_to("a.png")
    (shop / "shop" / "again").symlink_to("sub")
    return outside


@pytest.mark.parametrize(
    "given",
    [
        "shop",
        "shop/*",
        "shop/*.png",
        "shop/**",
        "shop/**/*.png",
        "shop/f*/*.png",
        "shop/*/deep/*",
        "shop/u*/*/key.png",
        "s*",
    ],
)
def test_links_out_of_the_folder_are_reported_and_not_followed(trap: Path, given: str) -> None:
    images, problems = found(given)
    assert not any(Path(image.location).resolve().is_relative_to(trap) for image in images)
    assert problems and all(
        text.endswith("(a symbolic link that leads out of the folder; name the file itself to send it)")
        for text in problems
    )


def test_links_within_the_folder_and_named_links_are_followed(trap: Path) -> None:
    assert "same.png" in names("shop") and "same.png" in names("shop/*.png")
    assert found("shop/file.png")[0] == [ImageFile(Path("shop/file.png"), "file.png")]
    assert names("shop/folder") == ["key.png", "deep/key.png"] == names("shop/folder/")


def test_links_to_parent_folders_yield_no_duplicates(shop: Path) -> None:
    (shop / "shop" / "one").symlink_to(".")
    assert [image.location for image in found("shop/**/*.avif")[0]] == ["shop/sub/deep/d.avif"]
    assert found("shop/**")[0] == found("shop")[0]


def test_names_with_a_dot_match_no_wildcard(shop: Path) -> None:
    for name in (".cache/x.png", ".y.png"):
        (shop / "shop" / name).parent.mkdir(exist_ok=True)
        (shop / "shop" / name).write_bytes(b"x")
    assert names("shop/**/*.png") == names("shop/*.png") == ["a.png", "e[1].png"]
