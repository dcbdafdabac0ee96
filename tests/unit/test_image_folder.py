"""One rule for the images of a folder: the client, training, import and evaluation find the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from client.image_files import images_below
from client.sources.selection import Selection
from client.sources.source import Source
from model.image_folder import SUFFIXES, counted, images_in
from model.training.data.folders import read_folders, read_images
from model.training.data.labelled import read_labelled

IMAGES = ["cat/1.JPG", "cat/2.jpeg", "cat/deep/er/3.tiff", "dog/4.jfif", "dog/5.webp"]
PASSED_BY = [
    "cat/.hidden.jpg",
    "cat/._1.jpg",
    "cat/Thumbs.db",
    "cat/desktop.ini",
    "cat/.ipynb_checkpoints/1-checkpoint.jpg",
    "dog/.git/x.png",
    "dog/__MACOSX/4.jpg",
    "__MACOSX/cat/1.jpg",
    ".ipynb_checkpoints/1.png",
    ".DS_Store",
    "cat/1.JPG.explained.png",
]
LEFT_OUT = ["cat/6.HEIC", "cat/deep/7.heic", "dog/notes.txt", "dog/8"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in (*IMAGES, *PASSED_BY, *LEFT_OUT):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "photos" / "cat" / "nowhere.png").symlink_to("removed.png")
    return tmp_path / "photos"


def _source(*paths: Path) -> Source:
    return Source(Selection([str(path) for path in paths]), lambda *_: ())


def _client(photos: Path) -> list[Path]:
    return [Path(image.location) for image in _source(photos).images()]


def _client_glob(photos: Path) -> list[Path]:
    return [Path(image.location) for image in _source(photos / "*").images()]


def _report(photos: Path) -> list[Path]:
    return [image.path for image in images_below(photos)]


def _training(photos: Path) -> list[Path]:
    data = read_folders(photos)
    return [file.path for file in (*data.training, *data.validation)]


def _calibration(photos: Path) -> list[Path]:
    return [file.path for file in read_images(photos, ("cat", "dog"))[0]]


def _evaluation(photos: Path) -> list[Path]:
    return [item.source for item in read_labelled(photos, ("cat", "dog"), None, {}) if isinstance(item.source, Path)]


@pytest.mark.parametrize("read", [_client, _client_glob, _report, _training, _calibration, _evaluation])
def test_every_reader_finds_the_same_images(read: Callable[[Path], list[Path]], photos: Path) -> None:
    assert sorted(path.relative_to(photos).as_posix() for path in read(photos)) == IMAGES


@pytest.mark.parametrize("read", [_training, _calibration, _evaluation])
def test_what_is_left_out_is_counted_by_ending(
    read: Callable[[Path], list[Path]], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read(photos)
    said = capsys.readouterr().err
    assert said == f"{photos}: left out, as no image files: 2 .heic, 1 .png, 1 .txt, 1 without an ending\n"


@pytest.mark.parametrize("read", [_training, _calibration, _evaluation])
def test_images_without_a_class_are_counted(
    read: Callable[[Path], list[Path]], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "loose.png").write_bytes(b"x")
    assert photos / "loose.png" not in read(photos)
    assert "left out, as images outside of the class folders: 1 .png\n" in capsys.readouterr().err


def test_the_client_returns_what_is_left_out_once(photos: Path) -> None:
    made = _source(photos, photos / "dog" / "notes.txt")
    assert len(list(made.images())) == len(IMAGES) + 1, "a file that is named is taken whatever its name"
    assert counted(made.left_out) == (
        "10 hidden or system files, 2 .heic, 1 .png, 1 .txt, 1 explanations, 1 without an ending"
    )


def test_no_file_is_in_two_lists(photos: Path) -> None:
    found = images_in(photos)
    assert len(found.paths) == len(IMAGES) and len(found.left_out) == len(LEFT_OUT) + 1 and not found.links_out
    assert all(path.suffix.lower() in SUFFIXES for path in found.paths)
    assert set(found.paths).isdisjoint(found.left_out)
