"""Gives the images of one command different names, so that no object or file replaces another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from client.images import AnyImage
from client.transport.bucket import OBJECT_NAME_BYTES, object_name


def unique_names(images: Iterable[AnyImage], prefix: str = "") -> Iterator[AnyImage]:
    """Yield the images; one whose name is taken gets a number before the last part of its name.

    Names are equal when a bucket holds them as one object behind `prefix`, or a file system as one file, which may not
    distinguish case.
    """
    taken: set[int] = set()  # hashes take half the memory of names; two that are equal only cost a number
    next_numbers: dict[int, int] = {}
    for image in images:
        name, key = image.name, _key(image.name, prefix)
        if key in taken:
            first, number = key, next_numbers.get(key, 2)
            while (key := _key(name := _numbered(image.name, number, prefix), prefix)) in taken:
                number += 1
            next_numbers[first] = number + 1
        taken.add(key)
        yield image if name == image.name else dataclasses.replace(image, name=name)


def _key(name: str, prefix: str) -> int:
    return hash(object_name(name, prefix).lower())


def _numbered(name: str, number: int, prefix: str) -> str:
    folder, slash, last = name.rpartition("/")
    numbered = f"{folder}{slash}{number}-{last}"
    # The end of a long name is cut: the number must come at the beginning.
    return numbered if len(object_name(numbered, prefix).encode()) < OBJECT_NAME_BYTES else f"{number}-{name}"
