"""A registry in a local folder: for one machine, for tests, and for a disk that machines share."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from model.artifact.manifest import MAX_TEXT_BYTES
from model.errors import RegistryError
from model.registry.storage import NEW, Changed, Stored

# The file whose lock writers hold, and the beginning of the names of files that are not complete.
_LOCK, _PARTIAL = ".lock", ".partial-"


class FolderStorage:
    """Files below a folder. A generation is the hash of the content, and writers take turns. See Storage."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def address(self) -> str:
        return str(self._root)

    def read(self, path: str) -> Stored | None:
        file = self._root / path
        try:
            with _errors(file), file.open("rb") as opened:
                content = opened.read(MAX_TEXT_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(content) > MAX_TEXT_BYTES:
            raise RegistryError(f"{file} has more than {MAX_TEXT_BYTES:,} bytes")
        return Stored(content, hashlib.sha256(content).hexdigest())

    def write(self, path: str, content: bytes, generation: str) -> None:
        with self._writing():
            found = self.read(path)
            if (found.generation if found else NEW) != generation:
                raise Changed(path)
            with self._placing(path) as partial:
                partial.write_bytes(content)

    def upload(self, path: str, file: Path) -> None:
        with self._writing(), self._placing(path) as partial:
            shutil.copyfile(file, partial)

    def folders(self, path: str) -> list[str]:
        folder = self._root / path
        try:
            with _errors(folder):
                return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        except FileNotFoundError:
            if path:
                return []
            raise RegistryError(f"the registry folder {folder} does not exist") from None

    def sizes(self, path: str) -> Mapping[str, int]:
        folder = self._root / path
        with _errors(folder):
            files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(_PARTIAL)]
            return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}

    def delete(self, path: str) -> None:
        file = self._root / path
        with self._writing():
            file.unlink(missing_ok=True)
            for parent in file.parents:  # a bucket has no empty folders either
                if parent == self._root or any(parent.iterdir()):
                    break
                parent.rmdir()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock of the writers."""
        with _errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    @contextmanager
    def _placing(self, path: str) -> Iterator[Path]:
        """Yield a file to write, which then replaces the one at `path`: no reader sees half a file."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
        os.close(handle)
        try:
            yield Path(name)
            os.chmod(name, 0o644)
            os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn an OSError other than FileNotFoundError into a RegistryError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise RegistryError(f"the registry at {path} cannot be used: {exc.strerror or exc}") from exc
