"""The images in a folder, by one rule for the client, training, import and evaluation. Standard library only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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


HIDDEN, EXPLANATIONS = "hidden or system files", "explanations"
"""How files are counted that `is_passed_by` names; other files are counted by the ending of their names."""

LEADS_OUT, UNREADABLE = "a symbolic link that leads out of the folder", "a folder that cannot be read"
"""What `entries_in` says about an entry that it does not follow or cannot list."""


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


def kind_of(name: str) -> str:
    """Return how a file is counted by the ending of its name: `.heic`, or `without an ending`."""
    return PurePosixPath(name).suffix.lower() or "without an ending"


def why_left_out(parts: Sequence[str]) -> str:
    """Return how a file is counted that is left out because of its path, given as parts; "" for an image."""
    if not any(map(is_passed_by, parts)):
        kind = kind_of(parts[-1])
        return "" if kind in SUFFIXES else kind
    hidden = any(map(is_passed_by, parts[:-1])) or not parts[-1].endswith(EXPLANATION)
    return HIDDEN if hidden else EXPLANATIONS


def entries_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of a folder and of its folders with why it is left out: "" for an image.

    Reasons are those of `why_left_out`, LEADS_OUT and UNREADABLE. Links to folders are not followed. Of the files, only
    the names in the present folder are in memory.
    """
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        above = Path(parent).relative_to(folder).parts
        if not any(map(is_passed_by, above)):
            links = (Path(parent, name) for name in folders if not is_passed_by(name))
            yield from ((path, LEADS_OUT) for path in links if os.path.islink(path) and leads_out(path, folder))
        for name in sorted(names):
            path = Path(parent, name)
            why = why_left_out((*above, name))
            if not why and os.path.islink(path) and leads_out(path, folder):
                why = LEADS_OUT
            yield path, why or ("" if os.path.isfile(path) else kind_of(name))
    for error in unreadable:
        path = Path(os.fsdecode(error.filename))
        if not any(map(is_passed_by, path.relative_to(folder).parts)):
            yield path, UNREADABLE


def images_in(folder: Path) -> FolderImages:
    """Find the images of a folder and of its folders. Links to folders are not followed."""
    paths: list[Path] = []
    links_out: list[Path] = []
    left_out: list[Path] = []
    for path, why in entries_in(folder):
        if why not in (HIDDEN, EXPLANATIONS, UNREADABLE):
            (paths if not why else links_out if why == LEADS_OUT else left_out).append(path)
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
    """Count files by the ending of their names; see `counted`."""
    return counted(Counter(kind_of(path.name) for path in left_out))


def counted(left_out: Counter[str]) -> str:
    """Return counts in words, the most frequent first: `12 .heic, 1 without an ending`."""
    return ", ".join(
        f"{count:,} {kind}" for kind, count in sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    )
