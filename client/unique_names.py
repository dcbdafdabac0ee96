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
    for image in images:
        folder, slash, last = image.name.rpartition("/")
        name, number = image.name, 1
        while (key := hash(object_name(name, prefix).lower())) in taken:
            number += 1
            name = f"{folder}{slash}{number}-{last}"
            if len(object_name(name, prefix).encode()) >= OBJECT_NAME_BYTES:  # the end is cut: number the beginning
                name = f"{number}-{image.name}"
        taken.add(key)
        yield image if name == image.name else dataclasses.replace(image, name=name)
