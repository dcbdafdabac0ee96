"""The images in a folder, by one rule for the client, training, import and evaluation. Standard library only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model.links import leads_out

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
)
"""File name endings that are taken from a folder, in lower case. A file that a user names is taken whatever its ending.
"""

EXPLANATION = ".explained.png"
"""The ending of the client's explanations. They may lie among images and are none to predict or to train on."""

_OF_SYSTEMS = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"})
"""Names, in lower case, of what macOS and Windows add to folders and archives of images."""


@dataclass(frozen=True, slots=True)
class FolderImages:
    """The images at any depth of a folder, in the order of their names.

    `links_out`: symbolic links that lead out of the folder, which are not followed. `left_out`: files whose names do
    not end like an image's, and what is no file, such as a link that leads nowhere. What `is_passed_by` names is in
    none of the three.
    """

    paths: tuple[Path, ...]
    links_out: tuple[Path, ...]
    left_out: tuple[Path, ...]


def is_passed_by(name: str) -> bool:
    """Whether a file or folder of this name is no user's image: hidden, the system's own, or an explanation of ours."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS or name.endswith(EXPLANATION)


def images_in(folder: Path) -> FolderImages:
    """Find the images of a folder and of its folders. Links to folders are not followed."""
    paths: list[Path] = []
    links_out: list[Path] = []
    left_out: list[Path] = []
    for folders, files in walk(folder):
        links_out += (path for path in folders if path.is_symlink() and leads_out(path, folder))
        for path in files:
            if path.suffix.lower() not in SUFFIXES:
                left_out.append(path)
            elif path.is_symlink() and leads_out(path, folder):
                links_out.append(path)
            else:
                (paths if path.is_file() else left_out).append(path)
    return FolderImages(tuple(paths), tuple(links_out), tuple(left_out))


def walk(folder: Path) -> Iterator[tuple[list[Path], list[Path]]]:
    """Yield the folders and the files of a folder, then those of each folder in it, without what is passed by."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_passed_by(name))
        files = sorted(name for name in names if not is_passed_by(name))
        yield [Path(parent, name) for name in folders], [Path(parent, name) for name in files]


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder, such as those of classes, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_passed_by(path.name))


def by_suffix(left_out: Iterable[Path]) -> str:
    """Count files by the ending of their names, the most frequent first: `12 .heic, 1 without an ending`."""
    counts = Counter(path.suffix.lower() or "without an ending" for path in left_out)
    return ", ".join(
        f"{count:,} {suffix}" for suffix, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
