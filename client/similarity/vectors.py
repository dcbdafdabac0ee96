"""The features of an image in results files: base64 of little-endian float16 numbers."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from client.gcp import UsageError
from client.results.record import Record
from client.text import printable

Vectors = npt.NDArray[Any]
"""Features: numbers [images, width], or [width] of one image, without a unit."""

DTYPE = np.dtype("<f2")


def vector_of(record: Record) -> Vectors:
    """Return the features of a row, at least one. Raises UsageError, which names the file, for damaged ones."""
    return decoded(record.features, record.file)


def decoded(text: str, file: str) -> Vectors:
    """Return features from their text, at least one. Raises UsageError, which names `file`, for damaged ones."""
    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), DTYPE)
    except ValueError:
        vector = np.zeros(0, DTYPE)
    if not vector.size or not np.isfinite(vector).all():
        raise UsageError(f"the features of {printable(file)} are damaged: they must be base64 of float16 numbers")
    return vector


def unit(vectors: Vectors) -> npt.NDArray[np.float32]:
    """Return vectors in float32 with the length 1; one without a direction stays 0."""
    real = vectors.astype(np.float32)
    lengths = np.linalg.norm(real, axis=-1, keepdims=True)
    return np.asarray(real / np.where(lengths > 0, lengths, 1), np.float32)
