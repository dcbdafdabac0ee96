"""Reads image files into batches of arrays, with the decoder and the recipe of the worker."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from model.engines.base import Images, Signature
from model.errors import InvalidImage
from model.preprocessing.recipe import preprocess
from model.training.data.folders import ImageFile

# Files that are not images, and why.
SkippedFiles = dict[Path, str]


def read_batches(
    files: Sequence[ImageFile], signature: Signature, batch: int, skipped: SkippedFiles
) -> Iterator[tuple[list[ImageFile], Images]]:
    """Yield the readable `files` with their arrays [n, height, width, channels], at most `batch` at a time, in order.

    Files that cannot be read are added to `skipped`.
    """

    def read(file: ImageFile) -> Images | str:
        try:
            return preprocess(file.path.read_bytes(), signature)
        except InvalidImage as exc:
            return str(exc)
        except OSError as exc:
            return f"it cannot be read: {exc.strerror}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), batch):
            part = files[start : start + batch]
            good, arrays = [], []
            for file, array in zip(part, pool.map(read, part), strict=True):
                if isinstance(array, str):
                    skipped[file.path] = array
                else:
                    good.append(file)
                    arrays.append(array)
            if good:
                yield good, np.concatenate(arrays)
