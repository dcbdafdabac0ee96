"""Reads the metadata.json that Teachable Machine writes next to its models of TensorFlow.js: labels and image size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.labels import check_labels
from model.text import decode_text, quoted
from model.training.errors import SourceError
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
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"labels is {quoted(labels)}; it must be a list of texts")
        if type(size) is not int or size < 0:
            raise ValueError(f"imageSize is {quoted(size)}; it must be a number of pixels")
        named = tuple(label.strip() for label in labels)
        check_labels(named, [f"number {place}" for place in range(len(named))])
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise SourceError(f"{path} cannot be used: {exc}") from exc
    return Machine(named, size)
