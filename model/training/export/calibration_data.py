"""The images that variants are calibrated and compared on, as arrays of the model's input, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.engines.base import Images, Signature
from model.metrics import Numbers
from model.training.data.batches import SkippedFiles, read_batches
from model.training.data.folders import ImageFile, evenly_spaced, read_images
from model.training.errors import DatasetError
from model.training.export.progress import say

# Images that int8 is calibrated with, and images that predictions are compared on.
SAMPLES, COMPARED = 300, 500


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """`samples`: inputs that int8 is calibrated with; `images`: other inputs, that predictions are compared on. Both
    are [N, height, width, channels] of the signature. `truth`: the labels [N] of `images`, None when unknown. `name`:
    a description of `images`."""

    samples: Images
    images: Images
    truth: Numbers | None
    name: str


def read_calibration_files(
    samples: Sequence[ImageFile], files: Sequence[ImageFile], signature: Signature, name: str
) -> CalibrationData:
    """Read at most SAMPLES and COMPARED labelled files through the recipe.

    Raises DatasetError when no sample or no image can be read.
    """
    images, numbers = _read(files, COMPARED, signature, name)
    return CalibrationData(_read(samples, SAMPLES, signature, f"{name} for int8")[0], images, numbers, name)


def read_calibration_folder(folder: Path, signature: Signature) -> CalibrationData:
    """Read a folder's images (see `read_images`): a third calibrates int8, the rest compares predictions.

    Folders of classes say one label for each image, which is not the truth for a multi-label model. Raises
    DatasetError when the folder cannot be used.
    """
    files, labelled = read_images(folder, signature.labels)
    samples, others = files[::3], [file for row, file in enumerate(files) if row % 3]
    if not others:
        raise DatasetError(f"{folder} holds one file; it must hold at least two images")
    trial = read_calibration_files(samples, others, signature, f"images of `{folder.resolve().name}`")
    return (
        trial
        if labelled and not signature.multi_label
        else CalibrationData(trial.samples, trial.images, None, trial.name)
    )


def _read(files: Sequence[ImageFile], most: int, signature: Signature, name: str) -> tuple[Images, Numbers]:
    skipped: SkippedFiles = {}
    batches = list(read_batches(evenly_spaced(files, most), signature, 32, skipped))
    for path, why in skipped.items():
        say(f"skipped {path}: {why}")
    if not batches:
        raise DatasetError(f"none of the {len(files)} files can be read as {name}; at least one must be")
    labels = np.array([file.label for good, _ in batches for file in good], np.int64)
    return np.concatenate([images for _, images in batches]), labels
