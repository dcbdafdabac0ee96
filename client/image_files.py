"""Expands the paths of a command line (files, folders, globs) to a list of image files. Reads no file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from model.links import leads_out

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
)
"""File name endings that are taken from a folder. A file that the command line names is taken whatever its ending."""

_LEADS_OUT = "a symbolic link that leads out of the folder; name the file itself to send it"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file. `name` is its name in requests and buckets: relative to the folder that was given."""

    path: Path
    name: str


def expand(given: Sequence[str]) -> tuple[list[ImageFile], list[str]]:
    """Return the image files that `given` names, each once and in order, and the paths that name none.

    The second list holds the entries of `given` that match nothing. It also holds symbolic links in a folder or behind
    a glob that lead out of the folder, because another user may have created them. A link that `given` itself names is
    followed.
    """
    found: dict[Path, ImageFile] = {}
    unmatched: list[str] = []
    for text in given:
        refused: list[Path] = []
        images = list(_images(text, refused))
        if not images and not refused:
            unmatched.append(text)
        unmatched += (f"{path} ({_LEADS_OUT})" for path in refused)
        for image in images:
            found.setdefault(image.path, image)
    return list(found.values()), unmatched


def _images(text: str, refused: list[Path]) -> Iterator[ImageFile]:
    """Yield the images of one entry. An existing name is literal even if it looks like a glob. Fills `refused`."""
    if os.path.lexists(text):
        paths, within = [Path(text)], Path(text)
    else:
        within = Path(*takewhile(lambda part: not glob.has_magic(part), Path(text).parts))
        paths = _matches(text, within)
    for path in paths:
        if leads_out(path, within):
            refused.append(path)
        elif path.is_dir():
            yield from _walk(path, refused)
        elif path.is_file():
            yield ImageFile(path, path.name)


def _matches(pattern: str, within: Path) -> list[Path]:
    """Return the matches of a glob below the folder `within`. `**` matches any folders; hidden names do not match."""
    parts = Path(pattern).parts[len(within.parts) :]
    if "**" not in parts:
        return [Path(name) for name in sorted(glob.glob(pattern))]
    # glob.glob follows links to folders, and never ends where two of them lead back up.
    found = within.glob(str(Path(*parts)))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(within).parts))


def _walk(folder: Path, refused: list[Path]) -> Iterator[ImageFile]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        children = [Path(parent, name) for name in folders]
        refused += (child for child in children if child.is_symlink() and leads_out(child, folder))
        for path in (Path(parent, name) for name in sorted(names)):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            if path.is_symlink() and leads_out(path, folder):
                refused.append(path)
            else:
                yield ImageFile(path, path.relative_to(folder).as_posix())
