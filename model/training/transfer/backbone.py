"""A pretrained backbone with a new head: builds it, computes its features, and unfreezes its last layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from model.engines.base import Signature
from model.training.data.batches import SkippedFiles, read_batches
from model.training.data.folders import ImageFile
from model.training.importing import catalog
from model.training.importing.recipe import recipe
from model.training.transfer.config import TransferConfig


@dataclass(frozen=True, slots=True)
class Network:
    """`whole` is the backbone followed by the head. They share layers, so training one trains the other."""

    backbone: Any
    head: Any
    whole: Any
    signature: Signature


def build(config: TransferConfig, labels: tuple[str, ...]) -> Network:
    """Build the network of a configuration, with the recipe of its backbone. Raises SourceError."""
    architecture = catalog.find(config.backbone)
    backbone = catalog.build(architecture, config.weights, size=config.size, alpha=config.alpha, top=False)
    edge = config.size or architecture.size
    signature = Signature(
        edge, edge, 3, "float32", labels, recipe(architecture.pixels, edge, edge, framing=config.framing)
    )
    dropout = keras.layers.Dropout(config.dropout, name="head_dropout")
    scores = keras.layers.Dense(len(labels), activation="softmax", name="scores")
    features = keras.Input(backbone.output_shape[1:], name="features")
    head = keras.Model(features, scores(dropout(features)))
    return Network(backbone, head, keras.Model(backbone.input, scores(dropout(backbone.output))), signature)


def features_of(
    network: Network, files: Sequence[ImageFile], batch: int, skipped: SkippedFiles
) -> tuple[list[ImageFile], Any]:
    """The readable images and their features from the backbone: float32 [n, features]."""
    good: list[ImageFile] = []
    features = []
    for part, images in read_batches(files, network.signature, batch, skipped):
        good += part
        features.append(np.asarray(network.backbone.predict_on_batch(images), np.float32))
    return good, np.concatenate(features) if features else np.zeros((0, 0), np.float32)


def unfreeze(network: Network, layers: int) -> None:
    """Make the last `layers` of the backbone trainable, except batch normalisation, which stays pretrained."""
    for layer in network.backbone.layers:
        layer.trainable = False
    for layer in network.backbone.layers[-layers:]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


class ImageBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of image files, read again in each epoch. With `vary` they are shuffled and half of them are mirrored."""

    def __init__(self, files: Sequence[ImageFile], network: Network, config: TransferConfig, *, vary: bool) -> None:
        super().__init__()
        self._image_files, self._signature, self._config, self._vary = list(files), network.signature, config, vary
        self._epoch = 0
        self._order = np.arange(len(files))
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self._image_files) // self._config.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        rows = self._order[index * self._config.batch_size : (index + 1) * self._config.batch_size]
        files = [self._image_files[row] for row in rows]
        part, images = next(read_batches(files, self._signature, len(files), {}))
        if self._vary:
            mirrored = np.random.default_rng((self._config.seed, self._epoch, index)).random(len(images)) < 0.5
            images[mirrored] = images[mirrored, :, ::-1]
        return images, one_hot(part, len(self._signature.labels))

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        if self._vary:
            self._order = np.random.default_rng((self._config.seed, self._epoch)).permutation(len(self._image_files))


def one_hot(files: Sequence[ImageFile], labels: int) -> Any:
    """Targets float32 [n, labels]."""
    return np.eye(labels, dtype=np.float32)[[file.label for file in files]]
