"""Training batches: augmented images with their targets, and the teacher's predictions for these targets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from model.training.data.idx import FASHION_MNIST_LABELS, Split
from model.training.errors import RunError
from model.training.fashion_mnist.augment import augment
from model.training.fashion_mnist.config import Config, Cycle
from model.training.fashion_mnist.inputs import as_inputs, signature_of

Targets = npt.NDArray[np.float32]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Augmented batches of consecutive epochs: images float32 [B, 28, 28, 1], targets float32 [B, labels].

    ImportOptions and augmentation depend only on seed, epoch and step.
    """

    def __init__(self, images: npt.NDArray[np.uint8], targets: Targets, config: Config, cycle: Cycle) -> None:
        super().__init__()
        self._images, self._targets, self._config, self._cycle = images, targets, config, cycle
        self._signature = signature_of(config.recipe)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Start an epoch, which determines the order and the augmentation."""
        self._epoch = epoch
        self._order = np.random.default_rng((self._config.seed, epoch)).permutation(len(self._images))

    def __len__(self) -> int:
        return len(self._images) // self._config.batch_size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        config, cycle = self._config, self._cycle
        rows = self._order[index * config.batch_size : (index + 1) * config.batch_size]
        rng = np.random.default_rng((config.seed, self._epoch, index))
        images = augment(self._images[rows], rng, cycle.shift, config.flip, cycle.cutout, cycle.photolike)
        return as_inputs(images, self._signature), self._targets[rows]


def one_hot(labels: npt.NDArray[np.int64], smoothing: float) -> Targets:
    """Targets float32 [N, labels] with label smoothing: the share `smoothing` is spread over all labels.

    Szegedy et al., "Rethinking the Inception Architecture" (2015), section 7.
    """
    count = len(FASHION_MNIST_LABELS)
    targets: Targets = np.eye(count, dtype=np.float32)[labels] * np.float32(1 - smoothing) + np.float32(
        smoothing / count
    )
    return targets


def teacher_predictions(network: Any, part: Split, config: Config, kept: Path, begun: bool) -> Targets:
    """The network's predictions for the unaugmented images, averaged with their mirror images when the config flips.

    They are kept in a file, because a resumed cycle needs the predictions that it started with.
    Raises RunError when the cycle has started and the file is missing.
    """
    if begun:
        if not kept.exists():
            raise RunError(f"{kept} is missing: the cycle cannot continue without it; train again from the start")
        answers: Targets = np.load(kept, allow_pickle=False)
        return answers
    signature = signature_of(config.recipe)
    images = as_inputs(part.images, signature)
    answers = network.predict(images, batch_size=500, verbose=0)
    if config.flip:
        answers = (answers + network.predict(images[:, :, ::-1], batch_size=500, verbose=0)) / 2
    temporary = kept.with_name(f"next-{kept.name}")
    try:
        np.save(temporary, answers)
        os.replace(temporary, kept)
    except OSError as exc:
        raise RunError(
            f"{kept} cannot be written: {exc.strerror or exc}; free disk space, then continue with --resume"
        ) from exc
    return answers
