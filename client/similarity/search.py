"""Finds the nearest images of an index by the cosine of the angle between features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from client.gcp import UsageError
from client.similarity.index_file import Index, Indexed
from client.similarity.vectors import Vectors, unit
from client.text import printable


@dataclass(frozen=True, slots=True)
class Found:
    """An image of an index and its similarity: -1 to 1, and 1 for the same direction."""

    image: Indexed
    similarity: float


def place_of(index: Index, name: str) -> int | None:
    """Return the place of the image with this file or request id; None when the index has none."""
    for place, image in enumerate(index.images):
        if name in (image.file, image.request_id):
            return place
    return None


def vector_at(index: Index, place: int) -> Vectors:
    """Return the features of an image of the index. Raises UsageError."""
    return next(part[place - start] for start, part in index.parts() if start <= place < start + len(part))


def nearest(index: Index, vector: Vectors, top: int, without: int | None = None) -> list[Found]:
    """Return the `top` most similar images, the most similar first; equal ones in the order of the index.

    `without`: the place of an image that is left out. Raises UsageError for features of another width.
    """
    if vector.shape != (index.width,):
        name = printable(str(index.path))
        raise UsageError(f"the image has {vector.size:,} features; each image of {name} has {index.width:,}")
    places = most_similar((part for _, part in index.parts()), vector, top, without)
    return [Found(index.images[place], similarity) for place, similarity in places]


def most_similar(
    parts: Iterable[Vectors], vector: Vectors, top: int, without: int | None = None
) -> list[tuple[int, float]]:
    """Return the places of the `top` vectors that are most similar to `vector`, each with its similarity.

    `parts`: vectors [images, width], of which one part at a time is in memory; places count through all of them. The
    most similar come first, and equal ones in their order. `without`: the place of a vector that is left out.
    """
    wanted = unit(vector)
    similarities = np.concatenate([np.zeros(0, np.float32), *(unit(part) @ wanted for part in parts)])
    order = [place for place in np.argsort(-similarities, kind="stable")[: top + 1].tolist() if place != without]
    return [(place, round(float(similarities[place]), 4)) for place in order[:top]]
