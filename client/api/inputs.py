"""The images that a program passes to the Python API: paths, encoded images, and iterables and mappings of them."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from client.gcp import UsageError
from client.images import ArchivedImage, ImageFile, StoredImage
from client.sources.objects import ListObjects
from client.sources.selection import Selection
from client.sources.source import Source as CommandLineSource
from client.text import SendError, plain, printable
from model.image_folder import counted

log = logging.getLogger(__name__)

Source = str | os.PathLike[str] | bytes | bytearray
"""A file, folder, glob, archive or gs:// address, or the bytes of an encoded image (PNG, JPEG, …)."""

Images = Source | Iterable[Source] | Mapping[str, bytes]
"""What `predict` takes: one source, several, or encoded images by name."""

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""What `submit` takes: a file, folder, glob, archive or gs:// address, or several of them."""

_ALLOWED = "a path, the bytes of an encoded image, an iterable of these, or a mapping from names to bytes"

_ENCODE = "encode each image as PNG, since values alone do not say what pixels mean; give paths as a list"

_REMEDIES = {
    "numpy": _ENCODE,
    "torch": _ENCODE,
    "tensorflow": _ENCODE,
    "jax": _ENCODE,
    "PIL": "save it as PNG to an io.BytesIO, and give its getvalue()",
    "pandas": "give predict_frame a data frame, or predict one of its columns",
    "_io": "give the file's path, or its read()",
}
"""What to give instead of an object, by the package of its type."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageBytes:
    """An encoded image in memory."""

    name: str
    data: bytes
    request_id: str = ""

    @property
    def location(self) -> str:
        return self.name

    @property
    def filename(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def reference(self) -> None:
        return None

    def size(self) -> int:
        return len(self.data)

    def read(self) -> bytes:
        return self.data

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


@dataclass(frozen=True, slots=True, eq=False)
class MissingImage:
    """A path without an image. It fails when it is sent, as a file does that disappears."""

    location: str
    problem: str
    request_id: str = ""

    @property
    def name(self) -> str:
        return self.location

    @property
    def filename(self) -> str:
        return self.location

    @property
    def reference(self) -> None:
        return None

    def size(self) -> int:
        raise SendError(self.problem)

    def read(self) -> bytes:
        raise SendError(self.problem)

    def open(self) -> BinaryIO:
        raise SendError(self.problem)


GivenImage = ImageFile | ArchivedImage | StoredImage | ImageBytes | MissingImage


def images_of(given: Images, list_objects: ListObjects) -> Iterator[GivenImage]:
    """Return the images of the argument of `predict`. Raises TypeError at once when it can hold none.

    The items of an iterable are read when they are needed. An item of another type raises TypeError then.
    `list_objects` lists a bucket for a path that begins with gs://.
    """
    if isinstance(given, str | os.PathLike | bytes | bytearray):
        return _numbered([given], list_objects)
    if isinstance(given, Mapping):
        return (_named(name, data) for name, data in given.items())
    if not isinstance(given, Iterable) or _remedy(given):
        raise TypeError(f"images is {_type(given)}; it must be {_ALLOWED}{_remedy(given)}")
    return _numbered(given, list_objects)


def paths_of(given: Paths) -> list[str]:
    """Return the paths of the argument of `submit`. Raises TypeError or ValueError."""
    if isinstance(given, str | os.PathLike):
        given = [given]
    if isinstance(given, bytes | bytearray | Mapping) or not isinstance(given, Iterable) or _remedy(given):
        raise TypeError(f"images is {_type(given)}; a job reads its images again: give a path, or an iterable of paths")
    paths = [_path(source, index) for index, source in enumerate(given)]
    if not paths:
        raise ValueError("images is empty; it must be a path, or an iterable of paths")
    return paths


def _path(source: object, index: int) -> str:
    if not isinstance(source, str | os.PathLike) or not isinstance(text := os.fspath(source), str):
        raise TypeError(
            f"image {index} is {_type(source)}; a job reads its images again: write it to a file, and give the path"
        )
    if not text:
        raise ValueError(f"image {index} is an empty text; it must be the path of an image")
    return text


def sole_image(source: object, index: int) -> ImageFile | ImageBytes:
    """Return the one image that a path or bytes are. Raises TypeError or ValueError."""
    if isinstance(source, bytes | bytearray):
        return ImageBytes(f"image-{index}", bytes(source))
    if isinstance(source, str | os.PathLike) and isinstance(text := os.fspath(source), str):
        path = Path(_path(text, index))
        return ImageFile(path, path.name)
    raise TypeError(f"image {index} is {_type(source)}; it must be a path or the bytes of an image")


def _numbered(given: Iterable[Source], list_objects: ListObjects) -> Iterator[GivenImage]:
    index = 0
    for source in given:
        if isinstance(source, str | os.PathLike) and isinstance(text := os.fspath(source), str):
            images: Iterable[GivenImage] = _at(text, list_objects)
        elif isinstance(source, bytes | bytearray):
            images = [ImageBytes(f"image-{index}", bytes(source))]
        else:
            raise TypeError(f"image {index} is {_type(source)}; it must be a path or bytes{_remedy(source)}")
        for image in images:
            yield image
            index += 1


def _at(path: str, list_objects: ListObjects) -> Iterator[GivenImage]:
    """Yield the images at a path as the command line finds them, and a missing image for each problem."""
    if not path:
        yield MissingImage(path, "the path is empty")
        return
    try:
        found = CommandLineSource(Selection([path]), list_objects)
        yield from found.images()
        problems = found.problems
        if found.left_out:
            log.warning("left out of %s: %s", printable(path), printable(counted(found.left_out)))
    except (UsageError, SendError) as exc:  # a bucket cannot be listed
        problems = [plain(SendError(str(exc)))]
    for problem in problems:
        yield MissingImage(path, problem)


def _named(name: object, data: object) -> ImageBytes:
    if not isinstance(name, str) or not isinstance(data, bytes | bytearray):
        raise TypeError(
            f"the image {printable(repr(name))[:80]} is {_type(data)}; a mapping must be from names to bytes"
            + _remedy(data)
        )
    return ImageBytes(name, bytes(data))


def _type(value: object) -> str:
    kind = type(value)
    return f"of the type {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")


def _remedy(value: object) -> str:
    package = type(value).__module__.partition(".")[0]
    if package == "pandas" and type(value).__name__ != "DataFrame":
        return ""
    return f"; {_REMEDIES[package]}" if package in _REMEDIES else ""
