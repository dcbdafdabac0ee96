"""A dataset as people have it: a folder of images for each class. Which are trained on, which are held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from model.links import leads_out
from model.training.errors import DatasetError

T = TypeVar("T")

_VALIDATION = "validation", "val"


@dataclass(frozen=True, slots=True)
class Photo:
    """An image file and the number of its class."""

    path: Path
    label: int


@dataclass(frozen=True, slots=True)
class Folders:
    """Labels in alphabetical order, and the images of either part."""

    labels: tuple[str, ...]
    training: tuple[Photo, ...]
    validation: tuple[Photo, ...]


def read_folders(folder: Path, share: float = 0.1, seed: int = 0, classes: int = 0) -> Folders:
    """The dataset of a folder with a folder for each class, or with such a one in train/ and validation/.

    Without a validation/ the `share` of every class is held out, the same images for the same seed. `classes` takes the
    first so many by name, 0 all. Raises DatasetError when fewer than two classes are left or one has too few images,
    or when a symbolic link leads out of the folder.
    """
    check_links(folder)
    held_out = next((folder / name for name in _VALIDATION if (folder / name).is_dir()), None)
    if (folder / "train").is_dir() and held_out:
        labels = _labels(folder / "train", classes)
        if other := set(_labels(held_out, 0)) - set(_labels(folder / "train", 0)):
            raise DatasetError(f"{held_out} has the class {min(other)!r}; train/ has not")
        return Folders(labels, _photos(folder / "train", labels, 1), _photos(held_out, labels, 1))
    labels = _labels(folder, classes)
    training, validation = split(_photos(folder, labels, 2), share, seed)
    return Folders(labels, training, validation)


def read_images(folder: Path, labels: tuple[str, ...]) -> tuple[list[Photo], bool]:
    """The files of a folder with folders named after `labels`, or of one without folders; and whether they have labels.

    Where they have none all are 0. Raises DatasetError when a folder is no label, there is no folder or file, or a
    symbolic link leads out of the folder.
    """
    check_links(folder)
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if unknown := [path.name for path in classes if path.name not in labels]:
        shown = ", ".join(labels[:10]) + (f" and {len(labels) - 10:,} more" if len(labels) > 10 else "")
        raise DatasetError(
            f"{folder} holds the folder {unknown[0]!r}, which is no label of the model ({shown}); the folders in it "
            "must be named after labels. To compare answers alone, name a folder with images and no folders"
        )
    photos = [Photo(path, labels.index(place.name)) for place in classes for path in _files(place)]
    photos = photos if classes else [Photo(path, 0) for path in _files(folder)]
    if not photos:
        raise DatasetError(f"{folder} holds no images; it must hold some, or folders of them named after labels")
    return photos, bool(classes)


def check_links(folder: Path) -> None:
    """Raise DatasetError when there is no such folder, or a symbolic link in it leads out of it.

    Whoever made a dataset must not choose which other images of this machine are learnt from or shown in a report.
    """
    if not folder.is_dir():
        raise DatasetError(f"the data folder {folder} does not exist")
    for parent, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith("."))
        for path in (Path(parent, name) for name in (*folders, *names)):
            if path.is_symlink() and leads_out(path, folder):
                raise DatasetError(
                    f"{path} is a symbolic link that leads out of {folder}; put what it names in its place"
                )


def evenly(items: Sequence[T], most: int) -> list[T]:
    """All of them, or `most`, spread evenly."""
    return [items[row] for row in np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)]


def split(photos: tuple[Photo, ...], share: float, seed: int) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    """Training and validation parts: the `share` of each class, but at least one image, is validated on."""
    validation: set[Photo] = set()
    for label in {photo.label for photo in photos}:
        own = [photo for photo in photos if photo.label == label]
        order = np.random.default_rng((seed, label)).permutation(len(own))
        validation.update(own[row] for row in order[: max(1, round(share * len(own)))])
    return (
        tuple(photo for photo in photos if photo not in validation),
        tuple(photo for photo in photos if photo in validation),
    )


def _labels(folder: Path, classes: int) -> tuple[str, ...]:
    labels = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for label in labels:
        if label != label.strip() or "\n" in label:
            raise DatasetError(
                f"the folder {folder / label} begins or ends with a space or has several lines; rename it"
            )
    if len(labels) < 2:
        found = f"one class, {labels[0]!r}" if labels else "no class"
        raise DatasetError(f"{folder} holds {found}; it must hold a folder of images for each of at least two classes")
    if classes > len(labels):
        raise DatasetError(f"classes is {classes}; {folder} holds {len(labels)}")
    return tuple(labels[: classes or None])


def _photos(folder: Path, labels: tuple[str, ...], least: int) -> tuple[Photo, ...]:
    photos = []
    for number, label in enumerate(labels):
        own = _files(folder / label)
        if len(own) < least:
            raise DatasetError(f"{folder / label} holds {len(own)} images; it must hold at least {least}")
        photos += [Photo(path, number) for path in own]
    return tuple(photos)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
