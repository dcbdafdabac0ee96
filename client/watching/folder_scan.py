"""Finds the image files of a folder that are complete: those that do not change any more."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from client.image_files import UNUSABLE
from client.watching.file_version import Found
from model.image_folder import LEADS_OUT, UNREADABLE, is_passed_by, why_left_out
from model.links import leads_out

EMPTY = "empty"
"""How files without a byte are counted: they are no images yet."""


@dataclass(slots=True)
class _File:
    """What is known of a file: its version, since when it has it, and when it is to be found (again)."""

    size: int
    mtime_ns: int
    find_at: float | None
    is_changing: bool = True


class FolderScan:
    """Looks through a folder again and again. Times are seconds of `clock`.

    A file is complete when its size and its time of change stay the same for `settle_s` seconds. `problems` has links
    that lead out of the folder and folders that cannot be read, each with the reason; `left_out` counts the other
    files that are not taken; `is_changing` tells whether a file is not complete yet. All are those of the last scan.
    """

    def __init__(self, folder: Path, settle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._settle_s, self._clock = folder, settle_s, clock
        self._files: dict[str, _File] = {}
        self.problems: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()
        self.is_changing = False

    def scan(self) -> list[Found]:
        """Return the files that have become complete, by name. Raises OSError when the folder cannot be read."""
        self.problems, self.left_out = {}, Counter()
        files: dict[str, _File] = {}
        complete = []
        for name, status in self._walk():
            now, file = self._clock(), self._files.get(name)
            if file is None or (file.size, file.mtime_ns) != (status.st_size, status.st_mtime_ns):
                file = _File(status.st_size, status.st_mtime_ns, now + self._settle_s)
            files[name] = file
            if file.find_at is not None and now >= file.find_at:
                file.find_at, file.is_changing = None, False
                complete.append(Found(name, file.size, file.mtime_ns))
        self._files = files
        self.is_changing = any(file.is_changing for file in files.values())
        return complete

    def find_again(self, name: str, after_s: float) -> None:
        """Let a scan return the file once more, at the earliest `after_s` seconds from now."""
        if file := self._files.get(name):
            file.find_at = self._clock() + after_s

    def find_all_again(self) -> None:
        """Let the next scan return all complete files once more."""
        for file in self._files.values():
            if not file.is_changing:
                file.find_at = self._clock()

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the image files by the rules of model.image_folder, with one call to the system for each."""
        folders = [("", os.fspath(self._folder))]
        while folders:
            prefix, path = folders.pop()
            try:
                with os.scandir(path) as listed:
                    entries = sorted(listed, key=lambda entry: entry.name)
            except OSError:
                if not prefix:
                    raise
                self.problems[path] = UNUSABLE[UNREADABLE]
                continue
            inner = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner.append((f"{prefix}{entry.name}/", entry.path))
                elif status := self._status(entry):
                    yield prefix + entry.name, status
            folders += [each for each in reversed(inner) if not is_passed_by(each[1].rpartition(os.sep)[2])]

    def _status(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        """Return the size and times of an image file; counts or names what is left out."""
        if is_passed_by(entry.name):
            return None
        kind = why_left_out((entry.name,))
        try:
            status = entry.stat()
        except OSError:  # it was removed, or is a link that leads nowhere
            return None
        is_folder = stat.S_ISDIR(status.st_mode)
        if entry.is_symlink() and (is_folder or not kind) and leads_out(Path(entry.path), self._folder):
            self.problems[entry.path] = UNUSABLE[LEADS_OUT]
        elif kind and not is_folder:
            self.left_out[kind] += 1
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            self.left_out[EMPTY] += 1
        elif stat.S_ISREG(status.st_mode):
            return status
        return None
