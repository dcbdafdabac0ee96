"""Finds the image files that a path of a command line names: a file, a folder or a glob. Reads no file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from client.images import ImageFile
from model.image_folder import LEADS_OUT, UNREADABLE, entries_in, is_passed_by
from model.links import leads_out

UNUSABLE = {
    LEADS_OUT: f"({LEADS_OUT}; name the file itself to send it)",
    UNREADABLE: f"({UNREADABLE})",
}
"""Reasons that are a problem and not only counted, with their explanations."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a path leads to. `left_out`: why it is no image to send, as `image_folder.entries_in` says it.

    `named`: the path is this very file, and no folder or glob.
    """

    image: ImageFile
    left_out: str = ""
    named: bool = False


def images_below(folder: Path) -> list[ImageFile]:
    """Return the images of a folder, at any depth, without those behind links that lead out of it."""
    return [found.image for found in find(str(folder)) if not found.left_out]


def find(text: str) -> Iterator[Found]:
    """Yield the files that one path leads to. An existing name is literal even if it looks like a glob."""
    named = os.path.lexists(text)
    if named:
        paths, within = [Path(text)], Path(text)
    else:
        within = Path(*takewhile(lambda part: not glob.has_magic(part), Path(text).parts))
        paths = _matches(text, within)
    for path in paths:
        if leads_out(path, within):
            yield Found(ImageFile(path, path.name), LEADS_OUT)
        elif os.path.isdir(path):
            for entry, why in entries_in(path):
                yield Found(ImageFile(entry, entry.relative_to(path).as_posix()), why)
        elif os.path.isfile(path):
            yield Found(ImageFile(path, path.name), named=named)


def _matches(pattern: str, within: Path) -> list[Path]:
    """Return the matches of a glob below the folder `within`. `**` matches any folders; `is_passed_by` names do not."""
    parts = Path(pattern).parts[len(within.parts) :]
    # glob.glob follows links to folders, and with ** never ends where two of them lead back up.
    found = within.glob(str(Path(*parts))) if "**" in parts else map(Path, glob.glob(pattern))
    return sorted(path for path in found if not any(map(is_passed_by, path.relative_to(within).parts)))
