"""Gives the images of one command different names, so that no object or file replaces another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from client.images import AnyImage
from client.text_map import TextMap
from client.transport.bucket import OBJECT_NAME_BYTES, object_name


def unique_names(images: Iterable[AnyImage], prefix: str = "") -> Iterator[AnyImage]:
    """Yield the images; one whose name is taken gets a number before the last part of its name.

    Names are equal when a bucket holds them as one object behind `prefix`, or a file system as one file, which may not
    distinguish case. The names that are taken are not in memory; see TextMap.
    """
    with TextMap() as next_numbers:
        for image in images:
            name, key = image.name, _key(image.name, prefix)
            if not next_numbers.add(key, 2):
                number = next_numbers[key]
                while not next_numbers.add(_key(name := _numbered(image.name, number, prefix), prefix), 2):
                    number += 1
                next_numbers[key] = number + 1
            yield image if name == image.name else dataclasses.replace(image, name=name)


def _key(name: str, prefix: str) -> str:
    return object_name(name, prefix).lower()


def _numbered(name: str, number: int, prefix: str) -> str:
    folder, slash, last = name.rpartition("/")
    numbered = f"{folder}{slash}{number}-{last}"
    # The end of a long name is cut: the number must come at the beginning.
    return numbered if len(object_name(numbered, prefix).encode()) < OBJECT_NAME_BYTES else f"{number}-{name}"
