"""Limits on what a file from elsewhere may unpack to, checked before it is unpacked: zips, HDF5 files, small texts."""

from __future__ import annotations

import copy
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from model.training.errors import SourceError

MAX_UNPACKED = 4_000_000_000
"""Bytes that a file may unpack to, at most."""

_ALWAYS, _TIMES = 64_000_000, 50
"""Bytes that every file may unpack to, and how many times its own size more. Weights hardly shrink; those of a network
that was pruned to a twentieth do."""

MAX_PARTS = 10_000
"""Files of a zip, objects of an HDF5 file. Keras needs one for each array of weights and each layer."""

MAX_TEXT = 10_000_000
"""Bytes of a configuration, a recipe or a list of labels. Those of Keras' largest networks take one million."""

_BLOCK = 1 << 16


def allowed_bytes(size: int) -> int:
    """What a file of `size` bytes may unpack to."""
    return min(MAX_UNPACKED, _ALWAYS + _TIMES * size)


def read_small(path: Path) -> bytes:
    """A text that somebody wrote. Raises SourceError when it is too large, OSError when it cannot be read."""
    with path.open("rb") as file:
        data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise SourceError(f"{path} has more than {MAX_TEXT:,} bytes, the most that are allowed for a text")
    return data


def parse_json(data: bytes | str, what: str) -> Any:
    """What JSON holds. Raises SourceError when it is too large or nested too deeply, ValueError when it is none."""
    if len(data) > MAX_TEXT:
        raise SourceError(f"{what} has {len(data):,} bytes; at most {MAX_TEXT:,} are allowed")
    try:
        return json.loads(data)
    except RecursionError:
        raise SourceError(f"{what} is nested too deeply to be read") from None


def check_zip(file: zipfile.ZipFile, path: Path) -> None:
    """Raise SourceError when the zip holds too many files or unpacks to too much, in truth or by what it says.

    Every file in it is unpacked once, a block at a time and kept nowhere: a size that is said may be wrong. Raises
    BadZipFile, EOFError or zlib.error for a damaged one.
    """
    parts, allowed = file.infolist(), allowed_bytes(path.stat().st_size)
    if len(parts) > MAX_PARTS:
        raise SourceError(f"{path} holds {len(parts):,} files; at most {MAX_PARTS:,} are allowed")
    total = sum(part.file_size for part in parts)
    if total > allowed:
        raise _too_much(path, total, allowed)
    for part in parts:
        longer = copy.copy(part)
        longer.file_size += 1  # otherwise what is there beyond the size that is said would not be looked at
        found = 0
        with file.open(longer) as unpacked:
            while block := unpacked.read(_BLOCK):
                found += len(block)
        if found != part.file_size:
            raise SourceError(
                f"{path}: {part.filename!r} unpacks to more than the {part.file_size:,} bytes that it says, or to less"
            )


def check_h5(source: Path | BinaryIO, path: Path, allowed: int) -> int:
    """How many numbers the arrays of an HDF5 file hold, by their declared shapes.

    `path` is what it is called. Raises SourceError when they take more than `allowed` bytes, when there are too many,
    or when any of it stands in another file; OSError for what is no HDF5 file.
    """
    with h5py.File(source, "r") as file:
        numbers = total = count = 0
        waiting: list[Any] = [file]
        while waiting:
            group = waiting.pop()
            for name in group:
                count += 1
                if count > MAX_PARTS:
                    raise SourceError(
                        f"{path} holds more than {MAX_PARTS:,} arrays and groups, the most that are allowed"
                    )
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise SourceError(f"{path}: {name!r} is a link; what stands elsewhere is not read")
                found = group[name]
                if not isinstance(found, h5py.Dataset):
                    waiting.append(found)
                    continue
                if found.external or found.is_virtual:
                    raise SourceError(f"{path}: {name!r} keeps its numbers in other files; those are not read")
                numbers += found.size or 0
                total += _bytes(found)
                if total > allowed:
                    raise _too_much(path, total, allowed)
        return numbers


def _bytes(array: h5py.Dataset) -> int:
    """What an array takes when it is read; a chunk may be larger than the array and is unpacked whole."""
    shapes = [array.shape or (), array.chunks or ()]
    return max(math.prod(shape) for shape in shapes) * int(array.dtype.itemsize)


def open_packed(file: zipfile.ZipFile, name: str) -> BinaryIO:
    """A file of a zip that was checked, in memory."""
    return io.BytesIO(file.read(name))


def _too_much(path: Path, total: int, allowed: int) -> SourceError:
    return SourceError(
        f"{path} unpacks to {total:,} bytes or more; at most {allowed:,} are allowed for a file of its size, and "
        f"{MAX_UNPACKED:,} for any"
    )
