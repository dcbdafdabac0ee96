"""Finds the image files that a path of a command line names: a file, a folder or a glob. Reads no file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from client.images import ImageFile
from model.image_folder import EXPLANATIONS, HIDDEN, LEADS_OUT, UNREADABLE, entries_in, is_passed_by
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


@dataclass(frozen=True, slots=True)
class Expanded:
    """What paths of a command line name: the image files, each once and in order.

    `unmatched`: the paths that match nothing, and symbolic links in a folder or behind a glob that lead out of the
    folder, because another user may have created them. A link that the command line itself names is followed.
    `left_out`: the files of folders that are no images by the ending of their names.
    """

    images: list[ImageFile]
    unmatched: list[str]
    left_out: list[Path]


def expand(given: Sequence[str]) -> Expanded:
    """Find the image files that `given` names: files, folders and globs."""
    images: dict[Path, ImageFile] = {}
    left_out: dict[Path, None] = {}
    unmatched: list[str] = []
    for text in given:
        matched = False
        for found in find(text):
            path, why = found.image.path, found.left_out
            if not why:
                images.setdefault(path, found.image)
            elif why in UNUSABLE:
                unmatched.append(f"{path} {UNUSABLE[why]}")
            elif why not in (HIDDEN, EXPLANATIONS):
                left_out[path] = None
            matched = matched or not why or why in UNUSABLE
        if not matched:
            unmatched.append(text)
    return Expanded(list(images.values()), unmatched, [path for path in left_out if path not in images])


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
