"""From what a person types (files, folders, globs) to a list of pictures. Nothing is read here."""

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
"""What is taken from a folder. A file that is named outright is taken whatever its name."""

_REFUSED = "a symbolic link that leads out of the folder; name the file itself to send it"


@dataclass(frozen=True, slots=True)
class Picture:
    """One image file: `path` is how it was named, `name` what it is called elsewhere (relative to a given folder)."""

    path: Path
    name: str


def expand(given: Sequence[str]) -> tuple[list[Picture], list[str]]:
    """The pictures that `given` names, each once, in order; and what names none.

    That is those of `given` that match nothing, and symbolic links found in a folder or by a glob that lead out of it:
    somebody else may have put them there. A link that `given` names itself is followed.
    """
    found: dict[Path, Picture] = {}
    unmatched: list[str] = []
    for text in given:
        refused: list[Path] = []
        pictures = list(_pictures(text, refused))
        if not pictures and not refused:
            unmatched.append(text)
        unmatched += (f"{path} ({_REFUSED})" for path in refused)
        for picture in pictures:
            found.setdefault(picture.path, picture)
    return list(found.values()), unmatched


def _pictures(text: str, refused: list[Path]) -> Iterator[Picture]:
    """A name that exists is meant literally, even when it looks like a glob. Adds the links that lead out."""
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
            yield Picture(path, path.name)


def _matches(pattern: str, within: Path) -> list[Path]:
    """What a glob matches, all of it in the folder `within`; `**` is any folders, and names with a dot are left out."""
    parts = Path(pattern).parts[len(within.parts) :]
    if "**" not in parts:
        return [Path(name) for name in sorted(glob.glob(pattern))]
    # glob.glob would follow links to folders here: two that lead back up, and it never ends.
    found = within.glob(str(Path(*parts)))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(within).parts))


def _walk(folder: Path, refused: list[Path]) -> Iterator[Picture]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        places = [Path(parent, name) for name in folders]
        refused += (place for place in places if place.is_symlink() and leads_out(place, folder))
        for path in (Path(parent, name) for name in sorted(names)):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            if path.is_symlink() and leads_out(path, folder):
                refused.append(path)
            else:
                yield Picture(path, path.relative_to(folder).as_posix())
