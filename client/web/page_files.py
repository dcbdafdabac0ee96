"""The files of the page: images until they are answered, and thumbnails and explanations of rows."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from client.images import ImageFile
from client.whole_file import written_whole

THUMBNAIL_BYTES = 4096
"""Bytes of the largest thumbnail, which the browser makes: 10,000 of them are 40 MB."""

_KEPT_S = 691_200
"""Seconds for which an image without an answer is kept: as long as the subscription for its response."""

_NAME_LENGTH = 200
"""Characters of an image's name: enough for every file system's names."""

_JOB = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
_KEY = re.compile(r"[0-9a-f]{32}")

_KINDS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"RIFF": "image/webp"}
"""The first bytes of the files that are shown, and their media types."""


@dataclass(frozen=True, slots=True)
class UploadedImage(ImageFile):
    """An image of the page. Its file is named after its key, and results have the name that was given."""

    given: str = ""

    @property
    def location(self) -> str:
        return self.given

    @property
    def filename(self) -> str:
        return self.given


def clean_name(name: str) -> str:
    """Return a file's name without folders and control characters, `image` where nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c if c.isprintable() else "_" for c in last)[:_NAME_LENGTH].strip() or "image"


def is_key(text: str) -> bool:
    """Whether a text has the form of an image's key: 32 hex digits."""
    return bool(_KEY.fullmatch(text))


def media_type(data: bytes) -> str | None:
    """Return the media type of a JPEG, PNG or WebP file, None for anything else."""
    return next((kind for start, kind in _KINDS.items() if data.startswith(start)), None)


class PageFiles:
    """Files in one folder, which only this user may read. Names come from keys, jobs and numbers alone."""

    def __init__(self, folder: Path) -> None:
        """Create the folder. Raises OSError."""
        self._images, self._rows = folder / "images", folder / "rows"
        for each in (folder, self._images, self._rows):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def image(self, key: str, name: str = "") -> UploadedImage:
        """Return the image with this key, whose file may not exist yet."""
        path = self._images / key
        return UploadedImage(path, f"{key}/{name}", key, name)

    def drop_image(self, key: str) -> None:
        """Remove the file of an image that is not sent again."""
        with suppress(OSError):
            (self._images / key).unlink()

    def write(self, job: str, number: int, what: str, data: bytes) -> None:
        """Keep the thumbnail or the explanation of a row. Raises OSError."""
        path = self._path(job, number, what)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with written_whole(path) as part:
            part.write_bytes(data)

    def read(self, job: str, number: int, what: str) -> bytes | None:
        """Return the thumbnail or the explanation of a row, None where there is none."""
        try:
            return self._path(job, number, what).read_bytes()
        except OSError:
            return None

    def clean(self, jobs: Set[str]) -> None:
        """Remove what belongs to none of these jobs, and images that are too old to be sent."""
        for path in self._images.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _KEPT_S:
                    path.unlink()
        for path in self._rows.iterdir():
            if _JOB.fullmatch(path.name) and path.name not in jobs:
                shutil.rmtree(path, ignore_errors=True)

    def kept(self, job: str) -> dict[int, set[str]]:
        """Return which files the rows of a job have: `thumbnail`, `explanation`, both, or none."""
        found: dict[int, set[str]] = defaultdict(set)
        with suppress(OSError):
            for name in os.listdir(self._rows / job):
                number, _, what = name.partition(".")
                if number.isdigit():
                    found[int(number)].add(what)
        return found

    def kept_of(self, job: str, number: int) -> set[str]:
        """Return which files one row has."""
        return {what for what in ("thumbnail", "explanation") if self._path(job, number, what).exists()}

    def _path(self, job: str, number: int, what: str) -> Path:
        if not _JOB.fullmatch(job):
            raise OSError(0, "No job has this id")
        return self._rows / job / f"{number}.{what}"
