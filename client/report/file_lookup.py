"""Finds the file that a row of results means. A name from results is only looked up, and never opened."""

from __future__ import annotations

import os
from collections.abc import Iterable


class FileLookup:
    """Files by the names that rows may use for them. A name that two files share finds neither."""

    def __init__(self) -> None:
        self._files: dict[str, str | None] = {}

    def add(self, file: str, names: Iterable[str]) -> None:
        """Add a file, an absolute path, with its names; its path is one of them."""
        for name in {file, *names}:
            if self._files.setdefault(name, file) != file:
                self._files[name] = None

    def find(self, name: str) -> str | None:
        """Return the file of this absolute path. Where no such path exists, return that of the name."""
        if not name or "\0" in name:
            return None
        absolute = os.path.abspath(name)
        if absolute in self._files or os.path.lexists(absolute):
            return self._files.get(absolute)
        return self._files.get(name)
