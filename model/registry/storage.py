"""The interface of a registry's storage. folder.py and bucket.py implement it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

NEW = ""
"""The generation of a file that does not exist."""


class Changed(Exception):
    """The file has another generation than expected: another writer changed it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The content of a small file, and the generation that a later write may require."""

    content: bytes
    generation: str


class Storage(Protocol):
    """The files of a registry. Paths are relative, with `/`. Callable from any thread.

    Methods raise RegistryError where the storage does not exist, may not be used, or cannot be written. Other errors of
    Google's client pass through, because they are temporary.
    """

    @property
    def address(self) -> str:
        """The folder, or `gs://bucket/prefix`."""
        ...

    def read(self, path: str) -> Stored | None:
        """A small file, or None when it does not exist. Raises RegistryError when it is over MAX_TEXT_BYTES."""
        ...

    def write(self, path: str, content: bytes, generation: str) -> None:
        """Write a small file whole if it has this generation (NEW: does not exist), else raise Changed."""
        ...

    def upload(self, path: str, file: Path) -> None:
        """Write a file whole, whatever is there."""
        ...

    def folders(self, path: str) -> list[str]:
        """The names of the folders in a folder (empty: the root), sorted."""
        ...

    def sizes(self, path: str) -> Mapping[str, int]:
        """Paths relative to a folder, of the files at any depth below it, and their sizes in bytes."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file that may or may not exist."""
        ...
