"""Dataset images as files, for what takes the path of a request."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def as_png(image: npt.NDArray[np.uint8]) -> bytes:
    """One dataset image, uint8 [height, width], as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
