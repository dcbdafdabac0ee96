"""Reads zip archives of images: their directory, and single entries into memory. Extracts nothing to disk."""

from __future__ import annotations

import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from model.text import reason

MAX_ENTRY_BYTES = 100_000_000
"""Bytes of the largest entry, uncompressed. A worker accepts images of at most 32,000,000 bytes (MAX_IMAGE_BYTES). Up
to three times as much is sent, so that the worker answers; more would only fill the memory of this machine."""

_OPEN_ARCHIVES = 4
"""Archives that stay open, so that their directory is not read again for each entry."""

_COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Compressions whose output the zipfile module limits while it decompresses. Others may fill the memory."""

_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError, OverflowError)
"""What the zipfile module raises for damaged archives."""

_lock = threading.Lock()


def entries(path: Path) -> list[zipfile.ZipInfo]:
    """Return the entries of an archive without folders, in its order. Raises OSError."""
    with _opened(path) as archive:
        return [entry for entry in archive.infolist() if not entry.is_dir()]


def find_entry(path: Path, member: str) -> zipfile.ZipInfo | None:
    """Return an entry by its name, None where there is none; the last one where there are two. Raises OSError."""
    with _opened(path) as archive, suppress(KeyError):
        return archive.getinfo(member)
    return None


def why_unusable(entry: zipfile.ZipInfo) -> str:
    """Return why an entry cannot be read, "" if it can."""
    if entry.flag_bits & 0x1:
        return "it is encrypted"
    if entry.compress_type not in _COMPRESSIONS:
        return f"its compression method is {entry.compress_type}; it must be 0 (store) or 8 (deflate)"
    if entry.file_size > MAX_ENTRY_BYTES:
        return f"it has {entry.file_size:,} bytes; at most {MAX_ENTRY_BYTES:,} are read"
    return ""


def entry_size(path: Path, member: str) -> int:
    """Return the uncompressed bytes of an entry, as the directory states them. Raises OSError."""
    return _existing(path, member).file_size


def read_entry(path: Path, member: str) -> bytes:
    """Return the bytes of an entry: exactly as many as the directory states. Raises OSError."""
    entry = _existing(path, member)
    if why := why_unusable(entry):
        raise OSError(None, f"the archive's entry cannot be read: {why}")
    with _opened(path) as archive, archive.open(entry) as file:
        data = file.read(entry.file_size)  # with a number, no more is decompressed
        file.read(1)  # compares the checksum, also that of an empty entry
    if len(data) != entry.file_size:
        raise OSError(None, f"the archive's entry ends after {len(data):,} of {entry.file_size:,} bytes")
    return data


def _existing(path: Path, member: str) -> zipfile.ZipInfo:
    entry = find_entry(path, member)
    if entry is None:
        raise OSError(None, "the archive has no such entry any more")
    return entry


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive, or take it from the cache if it is unchanged. One thread at a time reads archives."""
    with _lock:
        try:
            status = path.stat()
            yield _cached(path, (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
        except _DAMAGED as exc:
            raise OSError(None, f"the archive is damaged, or is no zip archive: {reason(exc)}") from None


@lru_cache(_OPEN_ARCHIVES)
def _cached(path: Path, state: tuple[int, ...]) -> zipfile.ZipFile:
    """Open an archive. `state` differs after each change of the file."""
    return zipfile.ZipFile(path)
