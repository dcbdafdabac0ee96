"""Writes explanations to PNG files: a view that wraps another one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from client.images import Image
from client.results.output import MAX_LISTED, Messages, View
from client.results.request_tracker import Outcome
from client.text import plain, printable, shown
from client.whole_file import written_whole
from model.image_folder import EXPLANATION
from model.links import leads_out

_MAX_NAME_LENGTH = 200
"""Characters of the image's name in the new file's name: most file systems allow 255 bytes."""


class ExplanationFiles:
    """Passes outcomes to `view`, and writes `<image>.explained.png` to `folder` for each that has an explanation.

    The images of a folder keep their paths below it. A file of that name is replaced. Nothing is written outside of
    `folder`: not through a symbolic link in it either.
    """

    def __init__(self, view: View, messages: Messages, folder: Path) -> None:
        self._view, self._messages, self._folder = view, messages, folder
        self._last, self._written = Path(), 0
        self._problems: list[str] = []  # the first MAX_LISTED
        self._failed = 0

    def add(self, outcome: Outcome) -> None:
        self._view.add(outcome)
        response = outcome.response
        if response is None or response.error:
            return
        if response.explanation is None:
            self._note(f"{shown(outcome.image)}: the worker sent no explanation")
            return
        path = self._folder / _file_name(outcome.image)
        try:
            self._write(path, response.explanation.png)
        except OSError as exc:
            self._note(f"{printable(str(path))} was not written: {plain(exc)}")
        else:
            self._last, self._written = path, self._written + 1

    def close(self) -> None:
        self._view.close()
        self._messages.show_first(self._problems, total=self._failed)
        if self._written == 1:
            self._messages.show(f"the explanation is in {printable(str(self._last))}")
        elif self._written:
            self._messages.show(f"{self._written:,} explanations are in {printable(str(self._folder))}")

    def _note(self, problem: str) -> None:
        self._failed += 1
        if self._failed <= MAX_LISTED:
            self._problems.append(problem)

    def _write(self, path: Path, data: bytes) -> None:
        """Write a new file and move it to `path`, so that nothing is written through a link or a pipe of that name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or leads_out(path.parent, self._folder):
            raise OSError(0, "A symbolic link has that name")
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part, part.open("xb") as file:
            file.write(data)


def _file_name(image: Image) -> str:
    """Return the explanation's path relative to the folder. A long name is cut and gets a checksum."""
    folder, slash, last = image.name.rpartition("/")
    if len(last) > _MAX_NAME_LENGTH:
        checksum = hashlib.sha256(last.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        last = f"{checksum}-{last[-_MAX_NAME_LENGTH:]}"
    return f"{folder}{slash}{last}{EXPLANATION}"
