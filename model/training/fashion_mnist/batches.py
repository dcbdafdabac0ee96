"""Training batches: augmented images with their targets, in which the teachers' predictions may have a share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from model.engines.base import Scores
from model.training.data.idx import FASHION_MNIST_LABELS, Split
from model.training.fashion_mnist.augment import augment
from model.training.fashion_mnist.config import Config, Cycle
from model.training.fashion_mnist.inputs import as_inputs, signature_of
from model.training.fashion_mnist.photos import Photos
from model.training.fashion_mnist.teachers import Teachers

Targets = npt.NDArray[np.float32]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Augmented batches of consecutive epochs: images float32 [B, 28, 28, 1], targets float32 [B, labels].

    Each batch has `batch_size` images of `fit_on`, then `config.photos` of the photos. The order, the photos and the
    augmentation depend only on seed, epoch and step.
    """

    def __init__(
        self,
        fit_on: Split,
        config: Config,
        cycle: Cycle,
        teachers: Teachers | None = None,
        photos: Photos | None = None,
    ) -> None:
        super().__init__()
        self._images, self._config, self._cycle = fit_on.images, config, cycle
        self._targets = one_hot(fit_on.labels, config.label_smoothing)
        self._teachers, self._photos = teachers, photos
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
        images = self._augmented(self._images[rows], rng)
        targets = self._targets[rows]
        if cycle.mixup:
            images, targets = mixed(images, targets, cycle.mixup, rng)
        if self._photos:
            chosen = rng.integers(0, len(self._photos), config.photos)
            images = np.concatenate((images, self._augmented(self._photos.images[chosen], rng)))
        inputs = as_inputs(images, self._signature)
        answers = self._teachers.score(inputs) if self._teachers and cycle.teacher else None
        if answers is not None:
            targets = (1 - cycle.teacher) * targets + cycle.teacher * answers[: len(rows)]
        if self._photos:
            right = self._photos.right[chosen]
            answers = np.ones(right.shape, np.float32) if answers is None else answers[len(rows) :]
            targets = np.concatenate((targets, among(right, answers)))
        return inputs, targets

    def _augmented(self, images: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        cycle = self._cycle
        return augment(images, rng, cycle.shift, self._config.flip, cycle.cutout, cycle.photolike)


def one_hot(labels: npt.NDArray[np.int64], smoothing: float) -> Targets:
    """Targets float32 [N, labels] with label smoothing: the share `smoothing` is spread over all labels.

    Szegedy et al., "Rethinking the Inception Architecture" (2015), section 7.
    """
    count = len(FASHION_MNIST_LABELS)
    targets: Targets = np.eye(count, dtype=np.float32)[labels] * np.float32(1 - smoothing) + np.float32(
        smoothing / count
    )
    return targets


def among(right: npt.NDArray[np.bool_], answers: Scores) -> Targets:
    """Targets [N, labels] that spread each image over its right labels only, in proportion to the teachers' answers.

    With the network's own predictions as answers, the gradient would be that of the loss -log(sum of the right scores).
    """
    shares = np.where(right, answers + np.float32(1e-6), np.float32(0))
    targets: Targets = shares / shares.sum(axis=1, keepdims=True)
    return targets


def mixed(
    images: npt.NDArray[np.uint8], targets: Targets, share: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Targets]:
    """Mix the `share` of the images [N, H, W], and their targets [N, labels], with others that weigh less than half.

    Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (2018).
    """
    count = len(images)
    own = np.where(rng.random(count) < share, rng.uniform(0.5, 1, count), 1.0).astype(np.float32)
    other = rng.permutation(count)
    weight = own[:, None, None]
    both = np.rint(weight * images + (1 - weight) * images[other]).astype(np.uint8)
    return both, own[:, None] * targets + (1 - own[:, None]) * targets[other]
