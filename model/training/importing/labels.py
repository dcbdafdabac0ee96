"""The labels of an imported model: from a file, or ImageNet's."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from model.training.data.idx import shared_folder
from model.training.errors import SourceError
from model.training.importing.unpacking import parse_json, read_small

# The extra first label of models with 1,001 outputs.
BACKGROUND = "background"
IMAGENET = 1000

# ImageNet's class index, where keras.applications.imagenet_utils downloads it.
_INDEX = "imagenet_class_index.json"
_ORIGIN = "https://storage.googleapis.com/download.tensorflow.org/data/"
_MD5 = "c2c37ea517e94d9795004a39431a14cb"


def labels_for(outputs: int, path: Path | None) -> tuple[str, ...]:
    """One label for each output, from a file, or ImageNet's for 1,000 and 1,001 outputs (the first is `background`).

    Raises SourceError when the number of labels differs from the outputs, or when the labels cannot be read.
    """
    if path is None and outputs not in (IMAGENET, IMAGENET + 1):
        raise SourceError(
            f"the model gives {outputs} scores; --labels must name a file of {outputs} lines, one label per line"
        )
    path = path or _imagenet_index()
    labels = read_labels(path)
    if len(labels) == IMAGENET and outputs == IMAGENET + 1:
        labels = (BACKGROUND, *labels)
    if len(labels) != outputs:
        raise SourceError(f"{path} names {len(labels)} labels; the model gives {outputs} scores, one for each label")
    return labels


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of a text file (one per line) or of a class index in Keras' format (.json).

    A repeated label gets its line or its synset as a suffix: ImageNet has two cranes. Raises SourceError.
    """
    try:
        text = read_small(path).decode("utf-8")
        named = _of_index(parse_json(text, f"the labels {path}")) if path.suffix == ".json" else _of_lines(text)
    except OSError as exc:
        raise SourceError(f"the labels {path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise SourceError(f"the labels {path} cannot be used: {exc}") from exc
    times = Counter(name for name, _ in named)
    return tuple(name if times[name] == 1 else f"{name} ({mark})" for name, mark in named)


def _of_lines(text: str) -> list[tuple[str, str]]:
    named = [(line.strip(), f"line {number}") for number, line in enumerate(text.rstrip().splitlines(), 1)]
    for name, mark in named:
        if not name:
            raise ValueError(f"{mark} is empty; each must hold a label")
    return named


def _of_index(index: Any) -> list[tuple[str, str]]:
    try:
        return [(str(index[str(n)][1]), str(index[str(n)][0])) for n in range(len(index))]
    except (KeyError, IndexError, TypeError):
        raise ValueError('it must be an object {"0": [synset, label], ...}') from None


def _imagenet_index() -> Path:
    shared = shared_folder().parent / "imagenet-samples" / _INDEX
    if shared.is_file():
        return shared
    import keras

    try:
        with redirect_stdout(sys.stderr):  # Keras prints a progress bar
            return Path(keras.utils.get_file(_INDEX, _ORIGIN + _INDEX, cache_subdir="models", file_hash=_MD5))
    except Exception as exc:  # Keras raises a bare Exception for a failed download
        raise SourceError(f"ImageNet's labels cannot be downloaded ({exc}); name a file with --labels") from exc
