"""Keras models to export: an untrusted .keras or .h5 file, an architecture of the catalog, or a transfer run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from model.artifact.load import ENGINES
from model.engines.base import Images, Scores, Signature
from model.training.errors import SourceError
from model.training.export.activation_maps import explain_endpoint
from model.training.export.artifact_writer import write_saved_model
from model.training.export.source import TENSORFLOW, Endpoints, TensorSpec, chosen, spec_of
from model.training.importing.keras_ends import ends_of, takes_channels_first


class KerasSource:
    """A built keras.Model that classifies images.

    `loss`: what the loss of its training says about its outputs (see keras_ends.loss_meaning). `output`: the name of
    the layer that makes the scores, when there are several. `pixels`, `labels`: see Source; None when unknown.
    """

    engines = TENSORFLOW

    def __init__(
        self,
        network: Any,
        origin: str,
        pixels: str | None = None,
        size: int = 0,
        *,
        loss: str = "",
        output: str | None = None,
        labels: tuple[str, ...] | None = None,
    ) -> None:
        if not network.built or not hasattr(network, "inputs") or network.inputs is None:
            raise SourceError(f"{origin} does not know the shape of its input; build it before you save it")
        place = chosen(origin, getattr(network, "output_names", None) or ["output"], output)
        if len(network.outputs) > 1:
            network = keras.Model(network.inputs, network.outputs[place])
        spec = spec_of(
            origin, _ends(network.inputs), _ends(network.outputs)[0], size, channels_first=takes_channels_first(network)
        )
        self.spec = replace(spec, dtype="float32")
        self.origin, self.pixels, self.labels, self.ends = origin, pixels, labels, ends_of(network, loss)
        self._shape = self.spec.height, self.spec.width, self.spec.channels
        self._given, self._network = network, network
        if network.dtype != "float32" or network.outputs[0].dtype != "float32" or spec.channels_first:
            images = keras.Input(self._shape, dtype="float32", name="images")
            turned = layers.Permute((3, 1, 2))(images) if spec.channels_first else images
            scores = network(turned, training=False)
            self._network = keras.Model(images, layers.Identity(dtype="float32")(scores))

    @property
    def parameters(self) -> int:
        return int(self._network.count_params())

    def score(self, images: Images, signature: Signature) -> Scores:
        parts = [self._network.predict_on_batch(images[start : start + 32]) for start in range(0, len(images), 32)]
        return np.concatenate(parts).astype(np.float32)

    def write(self, work: Path) -> Endpoints | None:
        folder = work / ENGINES["savedmodel"].path
        given = self._network if self.spec.channels_first else self._given
        explain = explain_endpoint(given, self.spec.outputs) if self.spec.outputs > 1 else None
        return write_saved_model(folder, self._network, self._shape, explain)


def _ends(tensors: Any) -> list[TensorSpec]:
    return [(tensor.name, tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]
