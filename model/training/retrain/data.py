"""Fetches the labelled images of a request from a bucket or a folder, within limits, and splits them.

The hash of an image's name decides to which part it belongs, in every request with the same share. So the base, which
was trained on earlier images of the same prefix, has not seen the images that both are evaluated on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from model.image_folder import counted, entries_in, why_left_out
from model.text import quoted
from model.training.errors import DatasetError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""The folders of the parts. `model.training.data.folders.read_folders` knows the first two."""

_SPLIT = {TRAIN: TRAIN, VALIDATION: VALIDATION, "val": VALIDATION, TEST: TEST}
_SCHEME = "gs://"
_DOWNLOADS = 8
"""Images that are downloaded at a time."""

_LIST_TIMEOUT_S, _READ_TIMEOUT_S = 60.0, 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum images of a request, their bytes together, and the bytes of one; a larger image is left out."""

    images: int = 100_000
    total_bytes: int = 4_000_000_000
    image_bytes: int = 20_000_000


@dataclass(frozen=True, slots=True)
class _Found:
    """An image: the parts of its path below the place of the data, its size, and what copies it to a file."""

    parts: tuple[str, ...]
    size: int
    copy_to: Callable[[Path], Any]


def fetch_parts(place: str, folder: Path, share: float, limits: Limits) -> int:
    """Copy the images at `place` to folder/{train,validation,test}/CLASS/; returns their number.

    Data that has train/ and validation/ keeps them, and is evaluated on test/, or on validation/ without one. Raises
    DatasetError for data that cannot be used or is over a limit; errors of Google's client pass through.
    """
    found = list(_find(place, limits))
    tops = {each.parts[0] for each in found}
    if TRAIN in tops and tops & {VALIDATION, "val"}:
        if other := sorted(tops - set(_SPLIT)):
            raise DatasetError(
                f"{place} holds {quoted(other[0])} next to train/; it must hold only {', '.join(_SPLIT)}"
            )
        placed = [(_SPLIT[each.parts[0]], each.parts[1:], each) for each in found]
        if TEST not in tops:
            placed += [(TEST, parts, each) for part, parts, each in placed if part == VALIDATION]
    else:
        placed = [(part, each.parts, each) for part, each in _split(place, found, share)]
    if loose := next((each for _, parts, each in placed if len(parts) < 2), None):
        raise DatasetError(f"{place} holds the image {quoted('/'.join(loose.parts))} in no folder of a class")
    _copy([(folder / part / _class(place, parts[0]), each) for part, parts, each in placed])
    return len(found)


def fetch_all(place: str, folder: Path, limits: Limits) -> int:
    """Copy all images at `place` to folder/CLASS/; returns their number. Raises as `fetch_parts`."""
    found = [each for each in _find(place, limits) if len(each.parts) > 1]
    if not found:
        raise DatasetError(f"{place} holds no folder of images; it must hold one for each class")
    _copy([(folder / _class(place, each.parts[0]), each) for each in found])
    return len(found)


def _split(place: str, found: list[_Found], share: float) -> Iterator[tuple[str, _Found]]:
    """Yield each image with its part. Every class has an image in each part."""
    classes: dict[str, list[_Found]] = defaultdict(list)
    for each in found:
        if len(each.parts) > 1:  # images next to the folders of classes have no class
            classes[each.parts[0]].append(each)
    if len(classes) < 2:
        raise DatasetError(
            f"{place} holds {len(classes)} folders of images; it must hold one for each of at least two classes"
        )
    for label, own in classes.items():
        if len(own) < 3:
            raise DatasetError(
                f"{place} holds {len(own)} images of {quoted(label)}; it must hold at least three, to train, to "
                "validate and to evaluate"
            )
        ranked = sorted((_rank(each), each.parts, each) for each in own)
        test = max(1, sum(rank < share for rank, _, _ in ranked))
        validation = max(1, sum(rank < 2 * share for rank, _, _ in ranked) - test)
        test = min(test, len(ranked) - 2)
        validation = min(validation, len(ranked) - test - 1)
        for place_in_order, (_, _, each) in enumerate(ranked):
            is_test, is_held_out = place_in_order < test, place_in_order < test + validation
            yield TEST if is_test else VALIDATION if is_held_out else TRAIN, each


def _rank(found: _Found) -> float:
    """A number of 0..1 that the name of an image determines."""
    digest = hashlib.sha256("/".join(found.parts).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _class(place: str, name: str) -> str:
    """A folder's name, which comes from the name of an object."""
    if name in ("", ".", "..") or any(character in name for character in "/\\\0") or len(os.fsencode(name)) > 255:
        raise DatasetError(f"{place} holds the folder {quoted(name)}, which cannot be the name of a class")
    return name


def _find(place: str, limits: Limits) -> Iterator[_Found]:
    """Yield the images at a place, in the order of their names. stderr says which files are left out."""
    left_out, count, total = Counter[str](), 0, 0
    entries = _objects(place) if place.startswith(_SCHEME) else _files(Path(place))
    for each, why in entries:
        why = why or why_left_out(each.parts)
        if not why and not 0 < each.size <= limits.image_bytes:
            why = f"empty, or over {limits.image_bytes:,} bytes"
        if why:
            left_out[why] += 1
            continue
        count, total = count + 1, total + each.size
        if count > limits.images:
            raise DatasetError(f"{place} holds more than {limits.images:,} images; use a prefix with fewer")
        if total > limits.total_bytes:
            raise DatasetError(f"the images of {place} have more than {limits.total_bytes:,} bytes; use fewer images")
        yield each
    if left_out:
        print(f"{place}: left out: {counted(left_out)}", file=sys.stderr, flush=True)
    if not count:
        raise DatasetError(f"{place} holds no images")


def _objects(place: str) -> Iterator[tuple[_Found, str]]:
    from google.api_core.exceptions import Forbidden, NotFound
    from google.cloud import storage

    bucket, _, prefix = place.removeprefix(_SCHEME).partition("/")
    prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    try:
        for blob in storage.Client().list_blobs(bucket, prefix=prefix, timeout=_LIST_TIMEOUT_S):
            parts = PurePosixPath(blob.name.removeprefix(prefix)).parts
            if parts and not blob.name.endswith("/"):
                yield _Found(parts, blob.size or 0, _download(blob)), ""
    except (Forbidden, NotFound) as exc:
        raise DatasetError(f"{place} cannot be read: the bucket does not exist, or may not be listed") from exc


def _download(blob: Any) -> Callable[[Path], Any]:
    """What downloads the generation that was listed."""
    return lambda path: blob.download_to_filename(path, timeout=_READ_TIMEOUT_S)


def _files(folder: Path) -> Iterator[tuple[_Found, str]]:
    if not folder.is_dir():
        raise DatasetError(f"the data folder {folder} does not exist")
    for path, why in entries_in(folder):
        size = path.stat().st_size if not why else 0
        yield _Found(path.relative_to(folder).parts, size, partial(shutil.copyfile, path)), why


def _copy(placed: list[tuple[Path, _Found]]) -> None:
    """Copy images to folders, under numbers: an object's name may be none for a file."""
    for folder in {folder for folder, _ in placed}:
        folder.mkdir(parents=True)

    def copy(number: int) -> None:
        folder, found = placed[number]
        found.copy_to(folder / f"{number:07}{PurePosixPath(found.parts[-1]).suffix.lower()}")

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for _ in pool.map(copy, range(len(placed))):
            pass
