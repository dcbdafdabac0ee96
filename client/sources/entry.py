"""An entry of a list, and the image that it names."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from client.images import AnyImage, ImageFile, StoredImage
from client.sources.archives import image_in_archive, is_archive
from client.sources.names import cleaned
from client.sources.objects import SCHEME
from functions.messages.request_decoder import parse_uri
from model.text import whole


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list: a path or an address, and the id of its request, "" without one.

    `place` is the list and the line (the row of a results file), for messages.
    """

    place: str
    text: str
    request_id: str = ""

    def image(self) -> AnyImage:
        """Return the image that the entry names: a file, an entry of an archive, or an object, which is not looked up.

        Raises ValueError, which says why it names none.
        """
        text, path = self.text, Path(self.text)
        if text.startswith(SCHEME):
            if whole(text) != text:
                raise ValueError(f"{text} is not UTF-8, as the names of objects are")
            reference = parse_uri(text)
            last = cleaned(reference.name.rpartition("/")[2])
            return StoredImage(reference, last or "image", self.request_id)
        if os.path.isfile(text) and not is_archive(path):
            return ImageFile(path, path.name, self.request_id)
        if archived := image_in_archive(text):
            return dataclasses.replace(archived, request_id=self.request_id)
        raise ValueError(f"{_why_not(text)}; an entry is one image file or one object")


def _why_not(text: str) -> str:
    if not text:
        return "the path is empty"
    if os.path.isdir(text):
        return f"{text} is a folder"
    return f"{text} is an archive" if os.path.isfile(text) else f"no file is at {text}"
