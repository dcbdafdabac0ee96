"""What the forms of a model are tried on: images as the model takes them, and what is right for each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.engines.base import Images, Signature
from model.metrics import Numbers
from model.training.data.batches import Skipped, read_batches
from model.training.data.folders import Photo, evenly, read_images
from model.training.errors import DatasetError

SAMPLES, TRIED = 300, 500
"""How many photos int8 learns its ranges from, and how many answers are compared on."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`samples`: inputs that int8 learns its ranges from; `images`: others, that answers are compared on. Both are
    [N, height, width, channels] of the signature. `truth`: the right labels [N] of `images`, None where nobody knows
    them. `name`: what `images` are called."""

    samples: Images
    images: Images
    truth: Numbers | None
    name: str


def photo_trial(samples: Sequence[Photo], photos: Sequence[Photo], signature: Signature, name: str) -> Trial:
    """The trial of labelled photos, at most SAMPLES and TRIED of them, through the recipe.

    Raises DatasetError when there is none of either that can be read.
    """
    images, numbers = _read(photos, TRIED, signature, name)
    return Trial(_read(samples, SAMPLES, signature, f"{name} for int8")[0], images, numbers, name)


def folder_trial(folder: Path, signature: Signature) -> Trial:
    """The trial of a folder's images (see `read_images`): a third for int8 to learn from, answers compared on the rest.

    Raises DatasetError when the folder cannot be used.
    """
    photos, labelled = read_images(folder, signature.labels)
    samples, others = photos[::3], [photo for row, photo in enumerate(photos) if row % 3]
    if not others:
        raise DatasetError(f"{folder} holds one file; it must hold at least two images")
    trial = photo_trial(samples, others, signature, f"images of `{folder.resolve().name}`")
    return trial if labelled else Trial(trial.samples, trial.images, None, trial.name)


def _read(photos: Sequence[Photo], most: int, signature: Signature, name: str) -> tuple[Images, Numbers]:
    skipped: Skipped = {}
    batches = list(read_batches(evenly(photos, most), signature, 32, skipped))
    for path, why in skipped.items():
        print(f"skipped {path}: {why}", file=sys.stderr, flush=True)
    if not batches:
        raise DatasetError(f"none of the {len(photos)} files can be read as {name}; at least one must be")
    labels = np.array([photo.label for good, _ in batches for photo in good], np.int64)
    return np.concatenate([images for _, images in batches]), labels
