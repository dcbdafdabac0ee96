"""The folder of --move-to: takes the files that are answered. Nothing is overwritten, and a kill loses no file."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from client.gcp import UsageError
from client.text import plain, printable

ERRORS = "errors"
"""The folder below it for files with an error response."""


class DoneFolder:
    """Moves files below `done`. Raises UsageError where one of the two folders is in the other.

    A move that was interrupted is completed by the next move of the same file: what has the same size, time of change
    and bytes as the file is its copy.
    """

    def __init__(self, done: Path, folder: Path) -> None:
        inner, outer = Path(os.path.realpath(done)), Path(os.path.realpath(folder))
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise UsageError(
                f"--move-to is {printable(str(done))}; it must be outside of {printable(str(folder))}, and not above it"
            )
        try:
            done.mkdir(parents=True, exist_ok=True)
            self._device = done.stat().st_dev
        except OSError as exc:
            raise UsageError(f"--move-to {printable(str(done))} cannot be created: {plain(exc)}") from None
        self._done = done
        self._next: dict[Path, int] = {}

    def move(self, path: Path, name: str, *, is_error: bool) -> Path:
        """Move a file to the path `name` below the folder, or below its errors; an equal name gets a number.

        Returns the new path. Raises OSError; the file is then still at `path`.
        """
        wanted = self._done / ERRORS / name if is_error else self._done / name
        if self._done.stat().st_dev != self._device:  # the folder on which a disk was mounted
            raise OSError(errno.ENODEV, f"{printable(str(self._done))} is on another disk than before")
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for target in self._numbered(wanted):
            if os.path.lexists(target):
                if _is_copy(path, target):
                    path.unlink()
                    return target
                continue
            with suppress(FileExistsError):  # another program took the name
                _move(path, target)
                return target
        raise AssertionError("there is always one more number")

    def _numbered(self, wanted: Path) -> Iterator[Path]:
        number = self._next.get(wanted, 1)
        while True:
            self._next[wanted] = number  # names with smaller numbers are taken
            yield wanted if number == 1 else wanted.with_name(f"{number}-{wanted.name}")
            number += 1


def _is_copy(path: Path, target: Path) -> bool:
    one, other = path.lstat(), target.lstat()
    if os.path.samestat(one, other):
        return True
    same = (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
    return same and stat.S_ISREG(other.st_mode) and filecmp.cmp(path, target, shallow=False)


def _move(path: Path, target: Path) -> None:
    try:
        _rename(path, target)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        _copy(path, target)
        path.unlink()


def _rename(path: Path, target: Path) -> None:
    """Give a file another name in its file system. Raises FileExistsError, and other errors of the system."""
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL))  # the file system has no hard links
        try:
            os.replace(path, target)
        except BaseException:
            target.unlink()
            raise
    else:
        path.unlink()


def _copy(path: Path, target: Path) -> None:
    """Copy a file to another file system, with its time of change. A kill leaves no half of it under its name."""
    part = target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.part")
    part.unlink(missing_ok=True)
    try:
        with path.open("rb") as source, part.open("xb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # not every file system has times and rights
            shutil.copystat(path, part)
        _rename(part, target)
        _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Write the names of a folder to the disk, where the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
