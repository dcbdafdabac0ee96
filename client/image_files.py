"""Expands the paths of a command line (files, folders, globs) to a list of image files. Reads no file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from client.images import ImageFile
from model.image_folder import images_in, is_passed_by
from model.links import leads_out

_LEADS_OUT = "a symbolic link that leads out of the folder; name the file itself to send it"


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


@dataclass(frozen=True, slots=True)
class _Passed:
    """What an entry of the command line names besides images."""

    links_out: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


def expand(given: Sequence[str]) -> Expanded:
    """Find the image files that `given` names: files, folders and globs."""
    found: dict[Path, ImageFile] = {}
    left_out: dict[Path, None] = {}
    unmatched: list[str] = []
    for text in given:
        passed = _Passed()
        images = list(_images(text, passed))
        if not images and not passed.links_out:
            unmatched.append(text)
        unmatched += (f"{path} ({_LEADS_OUT})" for path in passed.links_out)
        left_out |= dict.fromkeys(passed.left_out)
        for image in images:
            found.setdefault(image.path, image)
    return Expanded(list(found.values()), unmatched, [path for path in left_out if path not in found])


def _images(text: str, passed: _Passed) -> Iterator[ImageFile]:
    """Yield the images of one entry. An existing name is literal even if it looks like a glob. Fills `passed`."""
    if os.path.lexists(text):
        paths, within = [Path(text)], Path(text)
    else:
        within = Path(*takewhile(lambda part: not glob.has_magic(part), Path(text).parts))
        paths = _matches(text, within)
    for path in paths:
        if leads_out(path, within):
            passed.links_out.append(path)
        elif path.is_dir():
            yield from _walk(path, passed)
        elif path.is_file():
            yield ImageFile(path, path.name)


def _matches(pattern: str, within: Path) -> list[Path]:
    """Return the matches of a glob below the folder `within`. `**` matches any folders; `is_passed_by` names do not."""
    parts = Path(pattern).parts[len(within.parts) :]
    # glob.glob follows links to folders, and with ** never ends where two of them lead back up.
    found = within.glob(str(Path(*parts))) if "**" in parts else map(Path, glob.glob(pattern))
    return sorted(path for path in found if not any(map(is_passed_by, path.relative_to(within).parts)))


def _walk(folder: Path, passed: _Passed) -> Iterator[ImageFile]:
    found = images_in(folder)
    passed.links_out.extend(found.links_out)
    passed.left_out.extend(found.left_out)
    return (ImageFile(path, path.relative_to(folder).as_posix()) for path in found.paths)
