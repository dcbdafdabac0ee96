"""Small copies of images for the report. A row's file name is only looked up among the files of one folder."""

from __future__ import annotations

import base64
import io
import os
import warnings
from pathlib import Path

from client.image_files import images_below
from client.report.file_lookup import FileLookup

_SIDE = 112
"""Pixels of the longest edge."""

_MAX_BYTES, _MAX_PIXELS = 20_000_000, 50_000_000
"""Largest file that is read, and largest image that is decoded; others have no thumbnail."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


class Thumbnails:
    """Thumbnails of the images in a folder. Links that lead out of it are not followed."""

    def __init__(self, folder: Path) -> None:
        self._lookup = FileLookup()
        for image in images_below(folder):
            self._lookup.add(os.path.abspath(image.path), {image.name})

    def uri(self, file: str) -> str:
        """Return the thumbnail as a data URI; empty when the file is not in the folder, ambiguous or no image."""
        path = self._lookup.find(file)
        small = thumbnail(Path(path)) if path else b""
        return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}" if small else ""


def thumbnail(path: Path) -> bytes:
    """Return a small JPEG file of an image; empty when it is too large or no image that can be read."""
    from PIL import Image, ImageOps

    try:
        if path.stat().st_size > _MAX_BYTES:
            return b""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, which does not matter here
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    return b""
                image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
                small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=80)
    except Exception:  # a damaged image has no thumbnail; its row is in the report all the same
        return b""
    return file.getvalue()
