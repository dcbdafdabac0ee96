"""The images of one command: from paths, folders, globs and bucket prefixes, chosen by name, each once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from client.cli import sending_options
from client.gcp import UsageError
from client.images import AnyImage, StoredImage
from client.sources.names import cleaned
from client.sources.selection import Selection
from client.sources.source import Source
from functions.messages.contract import ObjectRef
from model.image_folder import counted, entries_in

OBJECTS = [
    "a.txt",
    "shop/",
    "shop/.hidden/x.jpg",
    "shop/B.JPG",
    "shop/b.jpg",
    "shop/deep/c.webp",
    "shop/deep/d.heic",
    "shop/logo",
    "shop/logo.png",
    "shopping/e.png",
]


class Listing:
    """Objects of the bucket `photos`, and how many of them were asked for."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.listed = sorted(names), 0

    def __call__(self, bucket: str, prefix: str) -> Iterator[tuple[str, int, int]]:
        assert bucket == "photos"
        for number, name in enumerate(self.names):
            if name.startswith(prefix):
                self.listed += 1
                yield name, 100 + number, 10


def source(*paths: str, objects: Listing | None = None, prefix: str = "", **chosen: list[str]) -> Source:
    return Source(Selection(paths, **chosen), objects or Listing(OBJECTS), prefix=prefix)  # type: ignore[arg-type]


def locations(made: Source) -> list[str]:
    return [image.location for image in made.images()]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = ["a.png", "b.JPG", "x.heic", "sub/c.webp", "sub/raw/d.png", ".hidden/e.png", "sub/Thumbs.db", ".f.png"]
    for name in [*names, "a.png.explained.png", "sub/noise", "sub/.git/objects/1"]:
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_its_images_and_counts_the_rest(shop: Path) -> None:
    made = source("shop")
    assert locations(made) == ["shop/a.png", "shop/b.JPG", "shop/sub/c.webp", "shop/sub/raw/d.png"]
    assert counted(made.left_out) == "4 hidden or system files, 1 .heic, 1 explanations, 1 without an ending"
    assert not made.problems and not made.is_listing


def test_images_are_found_one_after_the_other(shop: Path) -> None:
    images = source("shop", "nope", "shop/sub").images()
    assert next(images).location == "shop/a.png"
    (shop / "shop" / "sub" / "new.png").write_bytes(b"x")
    assert "shop/sub/new.png" in [image.location for image in images], "a later folder is read later"


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        (["*.png"], [], ["a.png", "sub/raw/d.png"]),
        (["sub/*"], [], ["sub/c.webp", "sub/raw/d.png"]),
        ([], ["*.jpg"], ["a.png", "b.JPG", "sub/c.webp", "sub/raw/d.png"]),
        ([], ["*.JPG", "raw/*", "*/raw/*"], ["a.png", "sub/c.webp"]),
        (["*.png", "*.webp"], ["[ac].*"], ["sub/raw/d.png"]),
        (["shop/*"], [], []),
    ],
)
def test_globs_choose_by_the_name_below_the_folder_or_its_last_part(
    shop: Path, include: list[str], exclude: list[str], taken: list[str]
) -> None:
    made = source("shop", include=include, exclude=exclude)
    assert [image.name for image in made.images()] == taken
    assert made.left_out["excluded"] == 4 - len(taken)
    assert made.problems == ([] if taken else ["no image file is at shop"])


def test_a_file_that_is_named_is_sent_whatever_its_name(shop: Path) -> None:
    made = source("shop/x.heic", "shop/a.png", "shop/sub/*", exclude=["*"])
    assert locations(made) == ["shop/x.heic", "shop/a.png"]
    assert made.left_out["excluded"] == 3, "c.webp and noise of the glob, d.png of the folder raw"


def test_each_file_is_sent_once_and_repetitions_are_counted(shop: Path) -> None:
    made = source("shop/a.png", "./shop/a.png", "shop/*.png", "shop/sub")
    assert locations(made) == ["shop/a.png", "shop/sub/c.webp", "shop/sub/raw/d.png"]
    assert made.left_out["repeated"] == 2


def test_names_are_unique_behind_the_prefix(shop: Path) -> None:
    (shop / "A.png").write_bytes(b"x")
    made = source("shop/a.png", "A.png", "gs://photos/shop/b.jpg", "gs://photos/shop/B.JPG", prefix="in/")
    assert [image.name for image in made.images()] == ["a.png", "2-A.png", "b.jpg", "2-B.JPG"]


def test_what_cannot_be_sent_is_a_problem_in_one_line(shop: Path) -> None:
    (shop / "shop" / "out.png").symlink_to("/etc/passwd")
    (shop / "shop" / "line\nbreak.png").symlink_to("/etc/passwd")
    (shop / "empty").mkdir()
    made = source("shop", "nope\x1b.png", "empty", "shop/*.gif", "n" * 900)
    assert len(locations(made)) == 4
    why = "(a symbolic link that leads out of the folder; name the file itself to send it)"
    assert made.problems[:5] == [
        rf"shop/line\nbreak.png {why}",
        f"shop/out.png {why}",
        r"no image file is at nope\x1b.png",
        "no image file is at empty",
        "no image file is at shop/*.gif",
    ]
    assert all(problem.isprintable() and len(problem) <= 300 for problem in made.problems) and len(made.problems) == 6


def test_names_that_are_hard_to_print_are_sent(shop: Path) -> None:
    (shop / "odd").mkdir()
    for name in (b"line\nbreak.png", b"\xff.png", b" space .png", b"\x1b[31m.jpg"):
        (shop / "odd" / os.fsdecode(name)).write_bytes(name)
    images = list(source("odd").images())
    assert {image.read() for image in images} == {b"line\nbreak.png", b"\xff.png", b" space .png", b"\x1b[31m.jpg"}


def test_a_folder_that_cannot_be_read_is_a_problem(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refused(path: str) -> object:
        if Path(path).name in ("sub", ".hidden"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    made = source("shop")
    assert locations(made) == ["shop/a.png", "shop/b.JPG"]
    assert made.problems == ["shop/sub (a folder that cannot be read)"]


def test_a_file_about_which_nothing_is_known_is_counted(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may be listed and not searched: the status of its files cannot be read."""
    status = os.stat

    def refused(path: str, **settings: bool) -> os.stat_result:
        if "sub/" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return status(path, **settings)

    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(os, "lstat", refused)
    made = source("shop")
    assert locations(made) == ["shop/a.png", "shop/b.JPG"] and made.left_out[".png"] == made.left_out[".webp"] == 1


def test_every_file_of_a_folder_has_one_reason(shop: Path) -> None:
    listed = list(entries_in(shop / "shop"))
    assert len(listed) == len({path for path, _ in listed}) == 11


def test_a_prefix_gives_its_images_with_generation_and_size() -> None:
    made = source("gs://photos/shop/")
    images: list[AnyImage] = list(made.images())
    assert images[0] == StoredImage(ObjectRef("photos", "shop/B.JPG", 103, 10), "B.JPG")
    assert [image.name for image in images] == ["B.JPG", "2-b.jpg", "deep/c.webp", "logo.png"]
    assert counted(made.left_out) == "1 .heic, 1 hidden or system files, 1 without an ending"
    assert made.is_listing and not made.problems


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("gs://photos/shop/logo", ["shop/logo"]),  # exactly this object, whatever its ending
        ("gs://photos/shop/deep/d.heic", ["shop/deep/d.heic"]),
        ("gs://photos/shop/lo", ["shop/logo.png"]),
        ("gs://photos/shop", ["shop/B.JPG", "shop/b.jpg", "shop/deep/c.webp", "shop/logo.png"]),
        ("gs://photos/shop/deep", ["shop/deep/c.webp"]),
        ("gs://photos/sho", ["shop/B.JPG", "shop/b.jpg", "shop/deep/c.webp", "shop/logo.png", "shopping/e.png"]),
        ("gs://photos", ["shop/B.JPG", "shop/b.jpg", "shop/deep/c.webp", "shop/logo.png", "shopping/e.png"]),
        ("gs://photos/shop/*.jpg", []),
    ],
)
def test_an_address_is_an_object_else_a_folder_else_a_prefix(address: str, found: list[str]) -> None:
    assert locations(source(address)) == [f"gs://photos/{name}" for name in found]


def test_an_object_is_found_without_the_objects_after_it() -> None:
    objects = Listing(["logo", *(f"logo{number}.png" for number in range(2000))])
    assert locations(source("gs://photos/logo", objects=objects)) == ["gs://photos/logo"]
    assert objects.listed == 1


def test_a_listing_is_read_as_images_are_asked_for() -> None:
    objects = Listing([f"{number:05}.jpg" for number in range(5000)])
    images = source("gs://photos/", objects=objects).images()
    assert [next(images).name for _ in range(3)] == ["00000.jpg", "00001.jpg", "00002.jpg"] and objects.listed == 3


def test_objects_are_chosen_and_sent_once() -> None:
    made = source("gs://photos/shop/", "gs://photos/shop/deep/", include=["*.webp", "*.jpg"], exclude=["b.*"])
    assert locations(made) == ["gs://photos/shop/deep/c.webp"]
    assert made.left_out["excluded"] == 3 and made.left_out["repeated"] == 1


def test_a_prefix_without_an_image_is_a_problem_that_says_that_names_are_literal() -> None:
    made = source("gs://photos/shop/*.jpg", "gs://photos/nope")
    assert locations(made) == []
    assert made.problems == [
        "no image object is at gs://photos/shop/*.jpg; the names of objects are literal, and no globs",
        "no image object is at gs://photos/nope",
    ]


@pytest.mark.parametrize(
    "address", ["gs://", "gs:///x.jpg", "gs://UPPER/x.jpg", "gs://a b/x", "gs://photos/\udcff.jpg"]
)
def test_an_address_without_a_bucket_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a bucket; it must look like gs://bucket/prefix"):
        source(address)


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("../../etc/x.jpg", "etc/x.jpg"),
        ("/etc/x.jpg", "etc/x.jpg"),
        (r"C:\photos\..\x.jpg", "photos/x.jpg"),
        (r"\\server\x.jpg", "server/x.jpg"),
        ("C:x.jpg", "x.jpg"),
        ("C:..", ""),
        ("a//./b\0.jpg", "a/b_.jpg"),
        ("..", ""),
    ],
)
def test_names_of_others_lead_nowhere_else(given: str, clean: str) -> None:
    assert cleaned(given) == clean


@pytest.mark.parametrize(
    ("selection", "why"),
    [
        (Selection([]), "nothing to send is named: give PATH, or --from FILE"),
        (Selection(["a"], column="c"), "--column names a column of a CSV list"),
        (Selection(["a"], id_column="c"), "--id-column names a column of a CSV list"),
        (Selection([], ["-", "-"]), "--from - is given twice"),
        (Selection([], ["list"], include=["*"]), "--include chooses among files of folders"),
        (Selection([], ["list"], exclude=["*"]), "--exclude chooses among files of folders"),
        (Selection(["a"], include=[""]), "--include is empty"),
    ],
)
def test_options_without_an_effect_are_refused(selection: Selection, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Source(selection, Listing([]))


def test_the_command_line_makes_a_selection() -> None:
    seen: list[Selection] = []

    @click.command()
    @sending_options.selecting
    def send(**given: list[str]) -> None:
        seen.append(Selection(**given))  # type: ignore[arg-type]

    words = ["a", "b", "--from", "x", "--from", "-", "--column", "c", "--id-column", "i"]
    words += ["--include", "*.a", "--include", "*.b", "--exclude", "*.c"]
    assert CliRunner().invoke(send, words, catch_exceptions=False).exit_code == 0
    assert seen == [Selection(("a", "b"), ("x", "-"), "c", "i", ("*.a", "*.b"), ("*.c",))]
    assert CliRunner().invoke(send, [], catch_exceptions=False).exit_code == 0 and seen[1] == Selection(())
