"""A big-endian BigTIFF is a known format that Pillow cannot open, and not damaged bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile

from model.errors import UnsupportedFormat
from model.images.decode import decode_image
from model.images.limits import Limits


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_a_big_endian_bigtiff_is_named(shape: tuple[int, ...]) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros(shape, np.uint8), bigtiff=True, byteorder=">")
    with pytest.raises(UnsupportedFormat, match="a big-endian BigTIFF; allowed are"):
        decode_image(file.getvalue(), Limits())
