"""The images in zip archives."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import ZipInfo

from client.archive import entries, find_entry, why_unusable
from client.images import ArchivedImage
from client.sources.names import cleaned
from client.sources.selection import Choice
from client.text import plain

_WITHIN = re.compile(r"\.zip/", re.I)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive by the ending of its name."""
    return path.suffix.lower() == ".zip"


def images_of_archive(path: Path, choice: Choice, report: Callable[[str], None]) -> Iterator[ArchivedImage]:
    """Yield the chosen images of an archive in its order. Reports the entries that cannot be read."""
    try:
        found = entries(path)
    except OSError as exc:
        report(f"{path}: {plain(exc)}")
        return
    last = {entry.filename: entry for entry in found}
    for entry in found:
        name = cleaned(entry.filename)
        if not name or not choice.is_image(name):
            continue
        if why := _why_unusable(entry, last[entry.filename]):
            report(f"{path}/{entry.filename}: {why}")
        else:
            yield ArchivedImage(path, entry.filename, name)


def image_in_archive(text: str) -> ArchivedImage | None:
    """Return the entry of an archive that a path such as `photos.zip/cat/1.jpg` names, None where there is none."""
    for found in _WITHIN.finditer(text):
        path, member = Path(text[: found.end() - 1]), text[found.end() :]
        with suppress(OSError):
            if os.path.isfile(path) and find_entry(path, member):
                return ArchivedImage(path, member, cleaned(member) or "image")
    return None


def _why_unusable(entry: ZipInfo, last: ZipInfo) -> str:
    if entry is not last:
        return "the archive has another entry of this name, which is sent"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "it is a symbolic link"
    return why_unusable(entry)
