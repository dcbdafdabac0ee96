"""Reads the metadata.json that Teachable Machine writes next to its models of TensorFlow.js: labels and image size."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from model.text import decode_text, quoted
from model.training.errors import SourceError
from model.training.importing.label_file import parse_label_file
from model.training.importing.unpacking import parse_json, read_small

PIXELS = "teachable-machine"
"""The key of recipe.PIXELS for the preprocessing of its library."""

_FILE = "metadata.json"

# The library whose models take images; others of Teachable Machine take sounds and poses.
_LIBRARY = "@teachablemachine/image"


@dataclass(frozen=True, slots=True)
class Machine:
    """`size`: pixels of each edge of the images, 0 when the file does not say it."""

    labels: tuple[str, ...]
    size: int


def read_machine(folder: Path) -> Machine | None:
    """The metadata in a folder; None without a file of Teachable Machine. Raises SourceError when it is damaged or of
    another library."""
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        content = parse_json(decode_text(read_small(path)), str(path))
        if not isinstance(content, dict) or "packageName" not in content:
            return None
        if content["packageName"] != _LIBRARY:
            raise ValueError(f"packageName is {quoted(content['packageName'])}; only {_LIBRARY} takes images")
        labels, size = content.get("labels"), content.get("imageSize", 0)
        if not isinstance(labels, list):
            raise ValueError(f"labels is {quoted(labels)}; it must be a list")
        if type(size) is not int or size < 0:
            raise ValueError(f"imageSize is {quoted(size)}; it must be a number of pixels")
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise SourceError(f"{path} cannot be used: {exc}") from exc
    return Machine(parse_label_file(json.dumps(labels).encode(), path), size)
