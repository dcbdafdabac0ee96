"""The index: features of images of one model in one .npz file, which is written and read in parts.

An .npz file is a zip. This one holds `vectors.npy`, float16 [images, width], which NumPy reads too, and `index.json`:
the model and the images. No part of it is a pickle.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from client.gcp import UsageError
from client.results.record import Record
from client.similarity.vectors import DTYPE, Vectors, vector_of
from client.text import plain, printable
from client.whole_file import written_whole
from functions.messages.json_fields import field_of
from model.text import quoted

MAX_IMAGES = 100_000
"""Images of an index. NumPy compares a hundred thousand in two seconds; more would need another kind of index."""

_VECTORS, _ABOUT = "vectors.npy", "index.json"
_FORMAT = "predictions-index-1"
_MAX_ABOUT = 200_000_000
"""Bytes of index.json: a hundred thousand images with names of two thousand bytes."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""A model's digest. A name could be that of another model later."""

_MAX_WIDTH = 65_536
"""Numbers of a vector."""

_PART_BYTES = 8_000_000
"""Bytes of vectors that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """An image of an index: its file as the results name it, its request id, and its best label."""

    file: str
    request_id: str
    label: str


@dataclass(frozen=True, slots=True)
class Model:
    """The model that an index's features are from."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Index:
    """An index file: its model, the numbers of each vector, and its images in the order of the vectors."""

    path: Path
    model: Model
    width: int
    images: tuple[Indexed, ...]

    def parts(self) -> Iterator[tuple[int, Vectors]]:
        """Yield the vectors in parts, each with the place of its first one. Raises UsageError for a damaged file."""
        with _opened(self.path) as packed, packed.open(_VECTORS) as file:
            _check_header(self, cast(BinaryIO, file))
            most = _PART_BYTES // (self.width * DTYPE.itemsize)
            for start in range(0, len(self.images), most):
                count = min(most, len(self.images) - start)
                data = file.read(count * self.width * DTYPE.itemsize)
                vectors = np.frombuffer(data, DTYPE).reshape(count, self.width)
                if not np.isfinite(vectors).all():
                    raise ValueError("its vectors have numbers that are not finite")
                yield start, vectors
            if file.read(1):  # at the end of the file, its checksum is compared
                raise ValueError("its vectors are too many")


@dataclass(slots=True)
class Unused:
    """Counts of rows that are not in an index: those without features, and those that a later row of the same file, but
    of another request, replaced."""

    without: int = 0
    replaced: int = 0


def write_index(path: Path, records: Iterable[Record]) -> tuple[Index, Unused]:
    """Write an index of the rows that have features; returns it, and the counts of the other rows.

    A later row of the same file replaces an earlier one. The file appears whole, instead of an older one. Raises
    UsageError when no row has features, when they are of several models or of an unknown one, or when there are too
    many.
    """
    with tempfile.TemporaryFile() as spool:
        index, unused = _spooled(path, records, cast(BinaryIO, spool))
        about = {"format": _FORMAT, "model": asdict(index.model), "images": [asdict(each) for each in index.images]}
        spool.seek(0)
        try:
            with written_whole(path) as part, zipfile.ZipFile(part, "x") as packed:
                packed.writestr(_ABOUT, json.dumps(about))
                with packed.open(_VECTORS, "w", force_zip64=True) as file:
                    shape = len(index.images), index.width
                    header = {"descr": DTYPE.str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(cast(Any, file), header)
                    shutil.copyfileobj(spool, file)
        except OSError as exc:
            raise UsageError(f"{printable(str(path))} cannot be written: {plain(exc)}") from None
    return index, unused


def read_index(path: Path) -> Index:
    """Read the model and the images of an index. Raises UsageError, which names the file."""
    with _opened(path) as packed:
        if sorted(packed.namelist()) != [_ABOUT, _VECTORS]:
            raise ValueError("it holds other files")
        if packed.getinfo(_ABOUT).file_size > _MAX_ABOUT:
            raise ValueError(f"its {_ABOUT} is too large")
        about = json.loads(packed.read(_ABOUT))
        if field_of(about, "format", str) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        model = Model(*(field_of(field_of(about, "model", dict), name, str) for name in Model.__slots__))
        if not _DIGEST.fullmatch(model.digest):
            raise ValueError(f"its model's digest is {quoted(model.digest)}")
        listed = field_of(about, "images", list)
        images = tuple(Indexed(*(field_of(each, name, str) for name in Indexed.__slots__)) for each in listed)
        if not 1 <= len(images) <= MAX_IMAGES:
            raise ValueError(f"it has {len(images):,} images")
        with packed.open(_VECTORS) as file:
            width = _header(cast(BinaryIO, file))[1]
            index = Index(path, model, width, images)
        with packed.open(_VECTORS) as file:
            _check_header(index, cast(BinaryIO, file))
    return index


def _spooled(path: Path, records: Iterable[Record], spool: BinaryIO) -> tuple[Index, Unused]:
    """Write the vectors of all rows to a temporary file."""
    images: dict[str, Indexed] = {}
    places: dict[str, int] = {}
    model, width, unused = None, 0, Unused()
    for record in records:
        if not record.features:
            unused.without += 1
            continue
        vector, own = vector_of(record), Model(record.model_name, record.model_version, record.model_digest)
        if not _DIGEST.fullmatch(own.digest):
            raise UsageError(
                f"the features of {printable(record.file)[:80]} are of an unknown model: its model_digest is "
                f"{quoted(own.digest)}; send the image again"
            )
        model, width = model or own, width or vector.size
        if (own.digest, vector.size) != (model.digest, width):
            raise UsageError(
                f"the features are of several models, such as {printable(model.digest)[:80]} and "
                f"{printable(own.digest)[:80]} ({printable(record.file)[:80]}); an index has those of one"
            )
        key = record.file or record.request_id
        if len(places) == MAX_IMAGES and key not in places:
            raise UsageError(f"the results have more than {MAX_IMAGES:,} images with features, the most of an index")
        spool.seek(places.setdefault(key, len(places)) * width * DTYPE.itemsize)
        spool.write(vector.tobytes())
        unused.replaced += key in images and images[key].request_id != record.request_id
        images[key] = Indexed(record.file, record.request_id, record.label)
    if model is None:
        raise UsageError("no row of the results has features; send the images with --features and --output")
    return Index(path, model, width, tuple(images.values())), unused


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the zip of an index. Any error of its content becomes a UsageError that names the file."""
    name = printable(str(path))
    try:
        with zipfile.ZipFile(path) as packed:
            yield packed
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError, OSError) as exc:
        if isinstance(exc, OSError) and exc.strerror:
            raise UsageError(f"{name} cannot be read: {plain(exc)}") from None
        raise UsageError(
            f"{name} is no index, or is damaged ({plain(exc)[:120]}); predictions index writes such files"
        ) from None


def _header(file: BinaryIO) -> tuple[int, int]:
    """The shape that the header of vectors.npy states. Raises ValueError."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("its vectors have another version")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype != DTYPE or is_fortran or len(shape) != 2 or not 1 <= shape[1] <= _MAX_WIDTH:
        raise ValueError(f"its vectors are {dtype} {shape}")
    return int(shape[0]), int(shape[1])


def _check_header(index: Index, file: BinaryIO) -> None:
    if _header(file) != (len(index.images), index.width):
        raise ValueError("its vectors are not those of its images")
