"""Writes explanations to PNG files: a view that wraps another one."""

from __future__ import annotations

import uuid
from pathlib import Path

from client.image_files import ImageFile
from client.results.output import Messages, View
from client.results.request_tracker import Outcome
from client.text import plain, printable, shown

_MAX_STEM_LENGTH = 200
"""Characters of the image's name in the new file's name: most file systems allow 255 bytes."""


class ExplanationFiles:
    """Passes outcomes to `view`, and writes `<name>.explained.png` for each that has an explanation.

    The files are in the current folder and replace files of the same name. A symbolic link of that name is left as it
    is, because it leads elsewhere. Images of the same name get a number.
    """

    def __init__(self, view: View, messages: Messages) -> None:
        self._view, self._messages = view, messages
        self._taken: set[str] = set()

    def add(self, outcome: Outcome) -> None:
        self._view.add(outcome)
        response = outcome.response
        if response is None or response.error:
            return
        if response.explanation is None:
            self._messages.show(f"{shown(outcome.image)}: the worker sent no explanation")
            return
        path = self._path(outcome.image)
        if path.is_symlink():
            self._messages.show(f"{printable(str(path))} was not written: a symbolic link has that name")
            return
        try:
            _replace(path, response.explanation.png)
        except OSError as exc:
            self._messages.show(f"{printable(str(path))} could not be written: {plain(exc)}")
            return
        self._messages.show(f"{shown(outcome.image)}: the explanation is in {printable(str(path))}")

    def close(self) -> None:
        self._view.close()

    def _path(self, image: ImageFile) -> Path:
        stem, number = image.path.stem[:_MAX_STEM_LENGTH], 1
        name = f"{stem}.explained.png"
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}.explained.png"
        self._taken.add(name)
        return Path(name)


def _replace(path: Path, data: bytes) -> None:
    """Write a new file and move it to `path`, so that nothing is written through a link or a pipe of that name."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
