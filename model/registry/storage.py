"""The interface of a registry's storage. folder.py and bucket.py implement it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a listing. `size`: bytes. `modified`: when it was written, in UTC. `generation`: for `delete`.

    `crc32c`: the checksum that Cloud Storage keeps, in base64; empty in a folder.
    """

    size: int
    modified: datetime
    generation: str
    crc32c: str = ""


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
        """Write a small file whole if it has this generation (NEW: does not exist), else raise Changed.

        A file that is written again never has an earlier generation, even with the same content.
        """
        ...

    def upload(self, path: str, file: Path) -> None:
        """Write a file whole, whatever is there."""
        ...

    def holds(self, path: str, entry: Entry, file: Path) -> bool:
        """Whether the file at `path`, which was listed as `entry`, has the content of a local file."""
        ...

    def folders(self, path: str) -> list[str]:
        """The names of the folders in a folder (empty: the root), sorted."""
        ...

    def files(self, path: str) -> Mapping[str, Entry]:
        """The files at any depth below a folder, by their paths relative to it."""
        ...

    def delete(self, path: str, entry: Entry) -> None:
        """Delete a file if it is still the one that was listed as `entry`, else raise Changed. It may be gone."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
