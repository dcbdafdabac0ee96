"""Reads a dataset that has one folder of images per class, and splits it into training and validation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from model.image_folder import by_suffix, folders_in, images_in, walk
from model.links import leads_out
from model.text import printable, quoted
from model.training.data.label_names import LabelNames
from model.training.errors import DatasetError

T = TypeVar("T")

_VALIDATION = "validation", "val"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file and its class number."""

    path: Path
    label: int


@dataclass(frozen=True, slots=True)
class Folders:
    """A dataset: its labels in alphabetical order, its training and its validation images."""

    labels: tuple[str, ...]
    training: tuple[ImageFile, ...]
    validation: tuple[ImageFile, ...]


def read_folders(folder: Path, share: float = 0.1, seed: int = 0, classes: int = 0) -> Folders:
    """Read a dataset with one folder per class, either directly in `folder` or in its train/ and validation/.

    The images of a class are at any depth of its folder, see `image_folder.images_in`; stderr says what is left out.
    Without validation/, the `share` of every class is held out; the same seed holds out the same images. `classes`
    limits the classes to the first ones by name, 0 means all. Raises DatasetError when fewer than two classes remain,
    when a class has too few images, or when a symbolic link leads out of the folder.
    """
    check_links(folder)
    held_out = next((folder / name for name in _VALIDATION if (folder / name).is_dir()), None)
    if (folder / "train").is_dir() and held_out:
        say_left_out(folder / "train", held_out)
        labels = _labels(folder / "train", classes)
        if other := set(_labels(held_out, 0)) - set(_labels(folder / "train", 0)):
            raise DatasetError(f"{held_out} has the class {min(other)!r}, which train/ lacks")
        return Folders(labels, _image_files(folder / "train", labels, 1), _image_files(held_out, labels, 1))
    say_left_out(folder)
    labels = _labels(folder, classes)
    training, validation = split(_image_files(folder, labels, 2), share, seed)
    return Folders(labels, training, validation)


def read_images(folder: Path, labels: tuple[str, ...]) -> tuple[list[ImageFile], bool]:
    """The images of a folder with folders named after `labels`, or of one without; and whether they have labels.

    Images without labels get the class number 0. stderr says what is left out. Raises DatasetError when a folder's name
    is not a label, when there is no folder or no image, or when a symbolic link leads out of the folder.
    """
    check_links(folder)
    classes = folders_in(folder)
    names = LabelNames(labels)
    numbers = [labels.index(found) if (found := names.find(place.name)) else None for place in classes]
    if unknown := [place.name for place, number in zip(classes, numbers, strict=True) if number is None]:
        raise DatasetError(
            f"{folder} holds the folder {quoted(unknown[0])}, which is not a label of the model; "
            f"{names.near(unknown[0])}. Without labels, name a folder of images without folders"
        )
    files = [
        ImageFile(path, number)
        for place, number in zip(classes, numbers, strict=True)
        if number is not None
        for path in images_in(place).paths
    ]
    files = files if classes else [ImageFile(path, 0) for path in images_in(folder).paths]
    say_left_out(folder)
    if not files:
        raise DatasetError(f"{folder} holds no images; it must hold images, or folders of images named after labels")
    return files, bool(classes)


def check_links(folder: Path) -> None:
    """Raise DatasetError when there is no such folder, or when a symbolic link leads out of it.

    A dataset is untrusted: it must not add other images of this machine to the training or to a report.
    """
    if not folder.is_dir():
        raise DatasetError(f"the data folder {folder} does not exist")
    for folders, files in walk(folder):
        for path in (*folders, *files):
            if path.is_symlink() and leads_out(path, folder):
                raise DatasetError(
                    f"{path} is a symbolic link that leads out of {folder}; replace it by a copy of its target"
                )


def say_left_out(*folders: Path) -> None:
    """Say on stderr which files are left out, counted by the ending of their names: see `image_folder.images_in`.

    Images next to the folders of classes are left out too, because they have no class.
    """
    for folder in folders:
        found = images_in(folder)
        loose = [path for path in found.paths if path.parent == folder] if folders_in(folder) else []
        for files, why in (
            (found.left_out, "no image files"),
            (loose, "images outside of the class folders"),
        ):
            if files:
                text = printable(f"{folder}: left out, as {why}: {by_suffix(files)}")
                print(text, file=sys.stderr, flush=True)


def evenly_spaced(items: Sequence[T], most: int) -> list[T]:
    """All items, or `most` of them, evenly spread."""
    return [items[row] for row in np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)]


def split(files: tuple[ImageFile, ...], share: float, seed: int) -> tuple[tuple[ImageFile, ...], tuple[ImageFile, ...]]:
    """Split into training and validation. Validation gets the `share` of each class, and at least one image of it."""
    validation: set[ImageFile] = set()
    for label in {file.label for file in files}:
        own = [file for file in files if file.label == label]
        order = np.random.default_rng((seed, label)).permutation(len(own))
        validation.update(own[row] for row in order[: max(1, round(share * len(own)))])
    return (
        tuple(file for file in files if file not in validation),
        tuple(file for file in files if file in validation),
    )


def _labels(folder: Path, classes: int) -> tuple[str, ...]:
    labels = [path.name for path in folders_in(folder)]
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


def _image_files(folder: Path, labels: tuple[str, ...], least: int) -> tuple[ImageFile, ...]:
    files = []
    for number, label in enumerate(labels):
        own = images_in(folder / label).paths
        if len(own) < least:
            raise DatasetError(f"{folder / label} holds {len(own)} images; it must hold at least {least}")
        files += [ImageFile(path, number) for path in own]
    return tuple(files)
