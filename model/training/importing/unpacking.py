"""Limits of what an untrusted file may unpack to, checked before it is loaded: zip and HDF5 files, small texts."""

from __future__ import annotations

import copy
import io
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from model.training.errors import SourceError

# Bytes that any file may unpack to.
MAX_UNPACKED = 4_000_000_000

# A file may unpack to _ALWAYS bytes plus _TIMES its own size. Weights hardly compress, except those of pruned networks,
# which may compress to a twentieth.
_ALWAYS, _TIMES = 64_000_000, 50

# Files in a zip, or objects in an HDF5 file. Keras needs one for each array of weights and each layer.
MAX_PARTS = 10_000

# Bytes of a configuration, a recipe or a list of labels. The configurations of Keras' largest networks take 1,000,000.
MAX_TEXT = 10_000_000

_BLOCK = 1 << 16


def allowed_bytes(size: int) -> int:
    """Bytes that a file of `size` bytes may unpack to."""
    return min(MAX_UNPACKED, _ALWAYS + _TIMES * size)


def read_small(path: Path) -> bytes:
    """The bytes of a user's text file. Raises SourceError when it is too large, OSError when it cannot be read."""
    with path.open("rb") as file:
        data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise SourceError(f"{path} has more than {MAX_TEXT:,} bytes, the limit for text files")
    return data


def parse_json(data: bytes | str, what: str, make_object: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse a JSON text; `make_object` makes an object from its pairs of key and value.

    Raises SourceError when it is too large or too deep, ValueError when it is not JSON.
    """
    if len(data) > MAX_TEXT:
        raise SourceError(f"{what} has {len(data):,} bytes; at most {MAX_TEXT:,} are allowed")
    try:
        return json.loads(data, object_pairs_hook=make_object)
    except RecursionError:
        raise SourceError(f"{what} is nested too deeply to be read") from None


def check_zip(file: zipfile.ZipFile, path: Path) -> None:
    """Raise SourceError when the zip holds too many files, or unpacks to too many declared or actual bytes.

    Every file is unpacked once, in blocks that are not kept, because its declared size may be wrong. Raises BadZipFile,
    EOFError or zlib.error for a damaged zip.
    """
    parts, allowed = file.infolist(), allowed_bytes(path.stat().st_size)
    if len(parts) > MAX_PARTS:
        raise SourceError(f"{path} holds {len(parts):,} files; at most {MAX_PARTS:,} are allowed")
    total = sum(part.file_size for part in parts)
    if total > allowed:
        raise _too_much(path, total, allowed)
    for part in parts:
        longer = copy.copy(part)
        longer.file_size += 1  # without this, zipfile would ignore bytes beyond the declared size
        found = 0
        with file.open(longer) as unpacked:
            while block := unpacked.read(_BLOCK):
                found += len(block)
        if found != part.file_size:
            raise SourceError(
                f"{path}: {part.filename!r} does not unpack to the {part.file_size:,} bytes that the zip declares"
            )


def check_h5(source: Path | BinaryIO, path: Path, allowed: int) -> int:
    """The count of numbers in the arrays of an HDF5 file, by their declared shapes.

    `path` is its name in messages. Raises SourceError when the arrays take more than `allowed` bytes, when there are
    too many objects, or when data is in another file; OSError when it is not an HDF5 file.
    """
    with h5py.File(source, "r") as file:
        numbers = total = count = 0
        waiting: list[Any] = [file]
        while waiting:
            group = waiting.pop()
            for name in group:
                count += 1
                if count > MAX_PARTS:
                    raise SourceError(f"{path} holds more than {MAX_PARTS:,} arrays and groups, the limit")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise SourceError(f"{path}: {name!r} is a link; links are not followed")
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
    """Bytes to read an array. A chunk may be larger than the array and is unpacked as a whole."""
    shapes = [array.shape or (), array.chunks or ()]
    return max(math.prod(shape) for shape in shapes) * int(array.dtype.itemsize)


def open_packed(file: zipfile.ZipFile, name: str) -> BinaryIO:
    """A file of a checked zip, in memory."""
    return io.BytesIO(file.read(name))


def _too_much(path: Path, total: int, allowed: int) -> SourceError:
    return SourceError(
        f"{path} unpacks to {total:,} bytes or more; at most {allowed:,} are allowed for a file of its size, and "
        f"{MAX_UNPACKED:,} for any"
    )
