"""The labels of an imported model: from a file, or ImageNet's."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

from model.text import reason
from model.training.data.idx import shared_folder
from model.training.errors import SourceError
from model.training.importing.label_file import IMAGENET, read_labels

# The extra first label of models with 1,001 outputs.
BACKGROUND = "background"

# ImageNet's class index, where keras.applications.imagenet_utils downloads it.
_INDEX = "imagenet_class_index.json"
_ORIGIN = "https://storage.googleapis.com/download.tensorflow.org/data/"
_MD5 = "c2c37ea517e94d9795004a39431a14cb"


def labels_for(
    outputs: int, path: Path | None, own: tuple[str, ...] | None = None, where: str = "the model's file"
) -> tuple[str, ...]:
    """One label for each output, two for a single one: those of the file at `path`, else the model's `own`, which are
    in the file `where`, else ImageNet's for 1,000 and 1,001 outputs (the first is `background`). A list for 1,001
    outputs fits 1,000, and the other way round.

    Raises SourceError when the number of labels differs from the outputs, or when the labels cannot be read.
    """
    needed = max(2, outputs)
    given = f"gives {outputs} scores, one for each label" if outputs > 1 else "gives one score, which needs two labels"
    if path is None and own is not None:
        labels = _with_background(own, outputs)
        if len(labels) != needed:
            raise SourceError(f"{where} names {len(own)} labels; the model {given}: name a file with --labels")
        return labels
    if path is None and outputs not in (IMAGENET, IMAGENET + 1):
        raise SourceError(f"the model {given}: --labels must name a file of {needed} lines, one label per line")
    path = path or _imagenet_index()
    labels = _with_background(read_labels(path), outputs)
    if len(labels) != needed:
        raise SourceError(f"{path} names {len(labels)} labels; the model {given}")
    return labels


def _with_background(labels: tuple[str, ...], outputs: int) -> tuple[str, ...]:
    """ImageNet's labels with or without that of the background, as the model's outputs need it."""
    if len(labels) == IMAGENET and outputs == IMAGENET + 1:
        return BACKGROUND, *labels
    if len(labels) == IMAGENET + 1 and outputs == IMAGENET and labels[0] == BACKGROUND:
        return labels[1:]
    return labels


def _imagenet_index() -> Path:
    shared = shared_folder().parent / "imagenet-samples" / _INDEX
    if shared.is_file():
        return shared
    import keras

    try:
        with redirect_stdout(sys.stderr):  # Keras prints a progress bar
            return Path(keras.utils.get_file(_INDEX, _ORIGIN + _INDEX, cache_subdir="models", file_hash=_MD5))
    except Exception as exc:  # Keras raises a bare Exception for a failed download
        raise SourceError(f"ImageNet's labels cannot be downloaded ({reason(exc)}); name a file with --labels") from exc
