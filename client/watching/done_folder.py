"""The folder of --move-to: takes the files that are answered. Nothing is overwritten, and a kill loses no file.

A program may write to a file, or replace it, while it is moved. So the name in the watched folder ends at one instant,
and what was moved is then compared with the version that was answered: another one gets its name back.
"""

from __future__ import annotations

import ctypes
import errno
import filecmp
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from client.gcp import UsageError
from client.text import plain, printable
from client.watching.file_version import Changed, FileVersion

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

    def move(self, version: FileVersion, *, is_error: bool) -> Path:
        """Move a file to its name below the folder, or below its errors; an equal name gets a number.

        Returns the new path. Raises Changed when the file has another version, and OSError; it then stays where it is.
        """
        wanted = self._done / ERRORS / version.name if is_error else self._done / version.name
        if self._done.stat().st_dev != self._device:  # the folder on which a disk was mounted
            raise OSError(errno.ENODEV, f"{printable(str(self._done))} is on another disk than before")
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for target in self._numbered(wanted):
            if os.path.lexists(target):
                if _is_copy(version.path, target):
                    _remove(version)
                    return target
                continue
            with suppress(FileExistsError):  # another program took the name
                _move(version, target)
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
    same = (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
    return same and stat.S_ISREG(other.st_mode) and filecmp.cmp(path, target, shallow=False)


def _move(version: FileVersion, target: Path) -> None:
    try:
        _rename(version.path, target)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        _copy(version, target)
        _remove(version)
    else:
        if not version.is_at(target):
            _rename_back(target, version.path)
            raise Changed("it changed before it was moved")


def _remove(version: FileVersion) -> None:
    """Remove a file that was copied. Another version keeps its name."""
    hidden = version.path.with_name(f".{uuid.uuid4().hex}.part")
    _rename(version.path, hidden)
    if version.is_at(hidden):
        hidden.unlink()
    else:
        _rename_back(hidden, version.path)


def _rename_back(renamed: Path, path: Path) -> None:
    with suppress(FileExistsError):  # the name has a newer version already
        _rename(renamed, path)


def _rename(path: Path, target: Path) -> None:
    """Give a file another name in its file system. Raises FileExistsError, and other errors of the system."""
    if _rename_at_once(path, target):
        return
    os.close(os.open(target, os.O_CREAT | os.O_EXCL))  # takes the name, because `replace` overwrites
    try:
        os.replace(path, target)
    except BaseException:
        target.unlink()
        raise


_HERE, _NOREPLACE = -100, 1
"""What renameat2(2) of Linux calls AT_FDCWD and RENAME_NOREPLACE."""


def _rename_at_once(path: Path, target: Path) -> bool:
    """Rename without overwriting, in one call. Returns False where the system or the file system has no such call."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if renameat2 is None:
        return False
    if not renameat2(_HERE, os.fsencode(path), _HERE, os.fsencode(target), _NOREPLACE):
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), str(path), None, str(target))


def _copy(version: FileVersion, target: Path) -> None:
    """Copy a file to another file system, with its time of change. A kill leaves no half of it under its name."""
    part = target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.part")
    part.unlink(missing_ok=True)
    try:
        with version.open() as source, part.open("xb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
            version.check_open(source)
        with suppress(OSError):  # not every file system has times and rights
            shutil.copystat(version.path, part)
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
