"""From what a person types (files, folders, globs) to a list of pictures. Nothing is read here."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
)
"""What is taken from a folder. A file that is named outright is taken whatever its name."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image file: `path` is how it was named, `name` what it is called elsewhere (relative to a given folder)."""

    path: Path
    name: str


def expand(given: Sequence[str]) -> tuple[list[Picture], list[str]]:
    """The pictures that `given` names, each once, in order; and those of `given` that name none."""
    found: dict[Path, Picture] = {}
    empty: list[str] = []
    for text in given:
        pictures = list(_pictures(text))
        if not pictures:
            empty.append(text)
        for picture in pictures:
            found.setdefault(picture.path, picture)
    return list(found.values()), empty


def _pictures(text: str) -> Iterator[Picture]:
    """A name that exists is meant literally, even when it looks like a glob."""
    names = [text] if os.path.lexists(text) else sorted(glob.glob(text, recursive=True))
    for path in map(Path, names):
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield Picture(path, path.name)


def _walk(folder: Path) -> Iterator[Picture]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield Picture(path, path.relative_to(folder).as_posix())
