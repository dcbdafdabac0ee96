"""A registry in a local folder: for one machine, for tests, and for a disk that machines share."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from model.artifact.manifest import MAX_TEXT_BYTES
from model.errors import RegistryError
from model.registry.storage import NEW, Changed, Entry, Stored

# The file whose lock writers hold, and the beginning of the names of files that are not complete.
_LOCK, _PARTIAL = ".lock", ".partial-"


class FolderStorage:
    """Files below a folder. Writers take turns. A generation is a time that only grows, and a hash. See Storage."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def address(self) -> str:
        return str(self._root)

    def read(self, path: str) -> Stored | None:
        file = self._root / path
        try:
            with _errors(file):
                if not stat.S_ISREG(file.stat().st_mode):  # to open a pipe may never end
                    raise RegistryError(f"{file} is a folder or a device; it must be a file")
                with file.open("rb") as opened:
                    content = opened.read(MAX_TEXT_BYTES + 1)
                    written = os.fstat(opened.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None
        if len(content) > MAX_TEXT_BYTES:
            raise RegistryError(f"{file} has more than {MAX_TEXT_BYTES:,} bytes")
        return Stored(content, f"{written}-{hashlib.sha256(content).hexdigest()}")

    def write(self, path: str, content: bytes, generation: str) -> None:
        with self._writing():
            found = self.read(path)
            if (found.generation if found else NEW) != generation:
                raise Changed(path)
            with self._placing(path) as opened:
                opened.write(content)

    def upload(self, path: str, file: Path) -> None:
        with self._writing(), self._placing(path) as opened, file.open("rb") as source:
            shutil.copyfileobj(source, opened)

    def holds(self, path: str, entry: Entry, file: Path) -> bool:
        stored = self._root / path
        with _errors(stored), suppress(FileNotFoundError):
            return entry.size == file.stat().st_size and filecmp.cmp(stored, file, shallow=False)
        return False

    def folders(self, path: str) -> list[str]:
        folder = self._root / path
        try:
            with _errors(folder):
                return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        except FileNotFoundError:
            if path:
                return []
            raise RegistryError(f"the registry folder {folder} does not exist") from None

    def files(self, path: str) -> Mapping[str, Entry]:
        folder, found = self._root / path, {}
        with _errors(folder):
            for place, _, names in os.walk(folder, onerror=_raise_unless_missing):
                for file in (Path(place) / name for name in names):
                    with suppress(FileNotFoundError):  # another writer has deleted or replaced it
                        if file.is_file():
                            found[file.relative_to(folder).as_posix()] = _entry(file)
        return found

    def delete(self, path: str, entry: Entry) -> None:
        file = self._root / path
        with self._writing():
            try:
                if _entry(file) != entry:
                    raise Changed(path)
                file.unlink()
            except FileNotFoundError:
                return
            for parent in file.parents:  # a bucket has no empty folders either
                if parent == self._root or any(parent.iterdir()):
                    break
                parent.rmdir()

    def close(self) -> None:
        """Nothing is open between calls."""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock of the writers."""
        try:
            import fcntl
        except ImportError:
            raise RegistryError("on Windows a registry in a folder can only be read; use gs://bucket/prefix") from None
        with _errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    @contextmanager
    def _placing(self, path: str) -> Iterator[BinaryIO]:
        """Yield a file to write, which then replaces the one at `path`: no reader sees half a file."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
        try:
            with open(handle, "wb") as opened:
                yield opened
                opened.flush()
                os.fsync(handle)
            os.chmod(name, 0o644)
            with suppress(FileNotFoundError):
                before, made = target.stat().st_mtime_ns, os.stat(name).st_mtime_ns
                if made <= before:  # clocks are coarse and may be set back
                    os.utime(name, ns=(before + 1, before + 1))
            os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)


def _raise_unless_missing(exc: OSError) -> None:
    """Another writer may delete a folder while it is listed; other errors count."""
    if not isinstance(exc, FileNotFoundError):
        raise exc


def _entry(file: Path) -> Entry:
    found = file.stat()
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    return Entry(found.st_size, modified, f"{found.st_mtime_ns}-{found.st_ino}")


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn an OSError other than FileNotFoundError into a RegistryError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise RegistryError(f"the registry at {path} cannot be used: {exc.strerror or exc}") from exc
