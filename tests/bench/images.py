"""Distinct generated images, so that no response comes from the cache."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageFilter


def garments(count: int) -> list[bytes]:
    """Distinct 28x28 PNGs, as small as the dataset's own."""
    base = Image.radial_gradient("L").resize((28, 28))
    files = []
    for number in range(count):
        buffer = io.BytesIO()
        base.rotate(number % 360).point([min(255, v + number % 7) for v in range(256)]).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


def photos(count: int) -> list[bytes]:
    """Distinct JPEGs of 500x375 pixels, blurred noise, about as large as photos of that size."""
    faults, files = random.Random(0), []
    for number in range(count):
        noise = Image.frombytes("RGB", (500, 375), faults.randbytes(3 * 500 * 375)).filter(ImageFilter.GaussianBlur(2))
        buffer = io.BytesIO()
        noise.save(buffer, "JPEG", quality=90, comment=str(number))
        files.append(buffer.getvalue())
    return files
