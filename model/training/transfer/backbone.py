"""A backbone with a new head: built, its head trained on features computed once, its last layers trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from model.engines.base import Signature
from model.training.data.batches import Skipped, read_batches
from model.training.data.folders import Photo
from model.training.importing import catalog
from model.training.importing.recipe import recipe
from model.training.transfer.config import TransferConfig


@dataclass(frozen=True, slots=True)
class Network:
    """`whole` is the backbone with the head behind it; `head` and `whole` share their layers, so one trains both."""

    backbone: Any
    head: Any
    whole: Any
    signature: Signature


def build(config: TransferConfig, labels: tuple[str, ...]) -> Network:
    """The network of a configuration, with the recipe of its backbone. Raises SourceError."""
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


def features_of(network: Network, photos: Sequence[Photo], batch: int, skipped: Skipped) -> tuple[list[Photo], Any]:
    """The photos that could be read and what the backbone says of each: float32 [n, features]."""
    good: list[Photo] = []
    features = []
    for part, images in read_batches(photos, network.signature, batch, skipped):
        good += part
        features.append(np.asarray(network.backbone.predict_on_batch(images), np.float32))
    return good, np.concatenate(features) if features else np.zeros((0, 0), np.float32)


def unfreeze(network: Network, layers: int) -> None:
    """Let the last `layers` of the backbone learn, but no batch normalisation: it knows far more images."""
    for layer in network.backbone.layers:
        layer.trainable = False
    for layer in network.backbone.layers[-layers:]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


class PhotoBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Photos read anew each epoch: with `vary` in an order of its own and half of them mirrored, else as they are."""

    def __init__(self, photos: Sequence[Photo], network: Network, config: TransferConfig, *, vary: bool) -> None:
        super().__init__()
        self._photos, self._signature, self._config, self._vary = list(photos), network.signature, config, vary
        self._epoch = 0
        self._order = np.arange(len(photos))
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self._photos) // self._config.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        rows = self._order[index * self._config.batch_size : (index + 1) * self._config.batch_size]
        photos = [self._photos[row] for row in rows]
        part, images = next(read_batches(photos, self._signature, len(photos), {}))
        if self._vary:
            mirrored = np.random.default_rng((self._config.seed, self._epoch, index)).random(len(images)) < 0.5
            images[mirrored] = images[mirrored, :, ::-1]
        return images, one_hot(part, len(self._signature.labels))

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        if self._vary:
            self._order = np.random.default_rng((self._config.seed, self._epoch)).permutation(len(self._photos))


def one_hot(photos: Sequence[Photo], labels: int) -> Any:
    """Targets float32 [n, labels]."""
    return np.eye(labels, dtype=np.float32)[[photo.label for photo in photos]]
