"""What decided, as files: a view around another that also writes each explanation's picture."""

from __future__ import annotations

import uuid
from pathlib import Path

from client.image_files import Picture
from client.results.output import Talk, View
from client.results.request_tracker import Outcome
from client.text import plain, printable, shown

_NAME_LENGTH = 200


class Explained:
    """Shows outcomes like `view`, and writes `<name>.explained.png` for each that has an explanation.

    Files go to the current folder and replace what has their name, but for symbolic links, which lead elsewhere;
    pictures of one name are numbered.
    """

    def __init__(self, view: View, talk: Talk) -> None:
        self._view, self._talk = view, talk
        self._taken: set[str] = set()

    def add(self, outcome: Outcome) -> None:
        self._view.add(outcome)
        response = outcome.response
        if response is None or response.error:
            return
        if response.explanation is None:
            self._talk.say(f"{shown(outcome.picture)}: the worker sent no explanation")
            return
        path = self._path(outcome.picture)
        if path.is_symlink():
            self._talk.say(f"{printable(str(path))} was not written: a symbolic link has that name")
            return
        try:
            _write(path, response.explanation.png)
        except OSError as exc:
            self._talk.say(f"{printable(str(path))} could not be written: {plain(exc)}")
            return
        self._talk.say(f"{shown(outcome.picture)}: what decided is in {printable(str(path))}")

    def close(self) -> None:
        self._view.close()

    def _path(self, picture: Picture) -> Path:
        stem, number = picture.path.stem[:_NAME_LENGTH], 1
        name = f"{stem}.explained.png"
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}.explained.png"
        self._taken.add(name)
        return Path(name)


def _write(path: Path, data: bytes) -> None:
    """Write a whole file in place of what has its name, whatever that is: nothing is written through it."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
