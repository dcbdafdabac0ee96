"""Encodes dataset images as PNG files, so that they can pass through the decoder."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def as_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encode one image, uint8 [height, width], as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
