"""Folders of images: read, split class by class, and refused with a clear message."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from model.training.data.folders import read_folders, read_images
from model.training.errors import DatasetError


def fill(folder: Path, **classes: int) -> Path:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number:03}.jpg").write_bytes(b"")
    return folder


def test_a_tenth_of_every_class_is_held_out_the_same_every_time(tmp_path: Path) -> None:
    fill(tmp_path, cat=100, ape=30, dog=2)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("hello")
    data = read_folders(tmp_path, seed=3)
    assert data.labels == ("ape", "cat", "dog")
    assert Counter(photo.label for photo in data.validation) == {0: 3, 1: 10, 2: 1}
    assert Counter(photo.label for photo in data.training) == {0: 27, 1: 90, 2: 1}
    assert not set(data.training) & set(data.validation)
    assert all(photo.path.parent.name == data.labels[photo.label] for photo in data.training)
    assert read_folders(tmp_path, seed=3) == data
    assert read_folders(tmp_path, seed=4) != data


def test_an_existing_split_is_kept(tmp_path: Path) -> None:
    fill(tmp_path / "train", cat=3, dog=2)
    fill(tmp_path / "validation", cat=1, dog=5)
    data = read_folders(tmp_path)
    assert (len(data.training), len(data.validation)) == (5, 6)
    assert {photo.path.parts[-3] for photo in data.validation} == {"validation"}


def test_the_number_of_classes_can_be_limited(tmp_path: Path) -> None:
    fill(tmp_path, c=3, a=3, b=3)
    assert read_folders(tmp_path, classes=2).labels == ("a", "b")
    with pytest.raises(DatasetError, match=r"classes is 4; .* holds 3"):
        read_folders(tmp_path, classes=4)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ({}, "holds no class; it must hold a folder of images for each of at least two classes"),
        ({"cat": 3}, "holds one class, 'cat'; it must hold a folder"),
        ({"cat": 3, "dog": 1}, "dog holds 1 images; it must hold at least 2"),
        ({"cat": 3, " dog": 3}, "begins or ends with a space"),
    ],
)
def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, classes: dict[str, int], words: str) -> None:
    fill(tmp_path, **classes)
    with pytest.raises(DatasetError, match=words):
        read_folders(tmp_path)


def test_parts_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"the data folder .*nowhere does not exist"):
        read_folders(tmp_path / "nowhere")
    fill(tmp_path / "train", cat=3, dog=2)
    fill(tmp_path / "validation", cat=3, dog=2, eel=1)
    with pytest.raises(DatasetError, match="validation has the class 'eel', which train/ lacks"):
        read_folders(tmp_path)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    outside = fill(tmp_path / "private", cat=3)
    for place, target in {
        "cat/000x.jpg": outside / "cat" / "000.jpg",
        "eel": outside / "cat",
        "cat/deep": outside,
    }.items():
        data = tmp_path / place.replace("/", "-")
        fill(data, cat=3, dog=3)
        (data / place).symlink_to(target)
        for read in (read_folders, lambda folder: read_images(folder, ("cat", "dog", "eel"))):
            with pytest.raises(DatasetError, match=f"{place} is a symbolic link that leads out of "):
                read(data)


def test_links_within_the_folder_are_images(tmp_path: Path) -> None:
    fill(tmp_path, cat=3, dog=3)
    (tmp_path / "cat" / "again.jpg").symlink_to("000.jpg")
    (tmp_path / "eel").symlink_to("dog")
    assert [photo.path.name for photo in read_images(tmp_path, ("cat", "dog", "eel"))[0]].count("again.jpg") == 1
    assert read_folders(tmp_path).labels == ("cat", "dog", "eel")
