"""A version of a file: its path in the folder, its size and its time of change. Each version is a request."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from client.images import ImageFile


class Changed(OSError):
    """The file is no longer the version that was to be sent."""


@dataclass(frozen=True, slots=True)
class FileVersion(ImageFile):
    """An image of which only the version with this request id is read. `salt` is that of `request_id_of`.

    `name` is its path below the folder. Reading raises Changed when the file has another version meanwhile.
    """

    salt: str = ""

    def is_current(self) -> bool:
        """Whether the file is there in this version."""
        with suppress(OSError):
            return self._is(self.path.stat())
        return False

    def is_at(self, path: Path) -> bool:
        """Whether this version is at `path`, whatever its name was when it was found. Raises OSError."""
        return self._is(path.lstat())

    def size(self) -> int:
        status = self.path.stat()
        self._check(status)
        return status.st_size

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            data = file.read()
            self.check_open(file)  # after reading, because a program may be writing to the file
            return data

    def open(self) -> BinaryIO:
        file = self.path.open("rb")
        try:
            self.check_open(file)
        except BaseException:
            file.close()
            raise
        return file

    def _is(self, status: os.stat_result) -> bool:
        return request_id_of(self.salt, self.name, status.st_size, status.st_mtime_ns) == self.request_id

    def _check(self, status: os.stat_result) -> None:
        if not self._is(status):
            raise Changed("it changed before it was sent")

    def check_open(self, file: IO[bytes]) -> None:
        """Raise Changed when an open file has another version."""
        self._check(os.fstat(file.fileno()))


def request_id_of(salt: str, name: str, size: int, mtime_ns: int) -> str:
    """Return the request id of a version: 32 hex digits. Another `salt` makes other ids of the same files."""
    text = f"{salt}\0{name}\0{size}\0{mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is complete: its path below the folder with `/`, its bytes, and its time of change."""

    name: str
    size: int
    mtime_ns: int

    def version(self, folder: Path, salt: str) -> FileVersion:
        """Return this version as an image."""
        return FileVersion(
            folder / self.name, self.name, request_id_of(salt, self.name, self.size, self.mtime_ns), salt
        )
