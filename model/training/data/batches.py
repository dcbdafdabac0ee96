"""Photos as arrays, by the path that requests take: decoded by model.images, through the recipe that is served."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from model.engines.base import Images, Signature
from model.errors import InvalidImage
from model.preprocessing.recipe import preprocess
from model.training.data.folders import Photo

Skipped = dict[Path, str]
"""Files that are no images, and why."""


def read_batches(
    photos: Sequence[Photo], signature: Signature, batch: int, skipped: Skipped
) -> Iterator[tuple[list[Photo], Images]]:
    """The readable of `photos` with their arrays [n, height, width, channels], up to `batch` at a time, in order.

    Files that cannot be read are put into `skipped`.
    """

    def read(photo: Photo) -> Images | str:
        try:
            return preprocess(photo.path.read_bytes(), signature)
        except InvalidImage as exc:
            return str(exc)
        except OSError as exc:
            return f"it cannot be read: {exc.strerror}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(photos), batch):
            part = photos[start : start + batch]
            good, arrays = [], []
            for photo, array in zip(part, pool.map(read, part), strict=True):
                if isinstance(array, str):
                    skipped[photo.path] = array
                else:
                    good.append(photo)
                    arrays.append(array)
            if good:
                yield good, np.concatenate(arrays)
