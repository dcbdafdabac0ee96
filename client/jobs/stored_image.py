"""How the job store keeps an image: as text from which the same image can be made again.

Every text is JSON in ASCII, because a file name may hold bytes that are not UTF-8.
"""

from __future__ import annotations

import json
from pathlib import Path

from client.images import AnyImage, ArchivedImage, ImageFile, StoredImage
from functions.messages.contract import ObjectRef


def to_columns(image: AnyImage) -> tuple[str, str, str, str, str]:
    """Return kind, place, location, name, and the request id that was given for it."""
    if isinstance(image, ImageFile):
        kind, place = "file", [str(image.path.absolute())]
    elif isinstance(image, ArchivedImage):
        kind, place = "archive", [str(image.archive.absolute()), image.member]
    else:
        ref = image.reference
        kind, place = "object", [ref.bucket, ref.name, ref.generation, ref.size]  # type: ignore[list-item]
    return kind, json.dumps(place), json.dumps(image.location), json.dumps(image.name), image.request_id


def from_columns(kind: str, place: str, location: str, name: str, key: str) -> AnyImage:
    """Return the image of a row, with its key as request id.

    Its location is the one that was given, if that still means the same file.
    """
    values, given, called = json.loads(place), json.loads(location), json.loads(name)
    if kind == "object":
        return StoredImage(ObjectRef(*values), called, key)
    if kind == "archive":
        inner = given.removesuffix(f"/{values[1]}")
        return ArchivedImage(_path(inner, values[0]), values[1], called, key)
    return ImageFile(_path(given, values[0]), called, key)


def _path(given: str, absolute: str) -> Path:
    return Path(given) if str(Path(given).absolute()) == absolute else Path(absolute)
