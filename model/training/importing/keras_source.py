"""Keras models to export: an untrusted .keras or .h5 file, an architecture of the catalog, or a transfer run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.artifact.load import ENGINES
from model.engines.base import Images, Scores, Signature
from model.training.errors import SourceError
from model.training.export.activation_maps import explain_endpoint
from model.training.export.artifact_writer import write_saved_model
from model.training.export.source import Endpoints, ModelSpec, TensorSpec, spec_of

# Layers that scale the pixels inside the model.
_OWN_SCALING = keras.layers.Rescaling, keras.layers.Normalization

# Images of noise that show whether the model gives logits.
_TRIED = 8


class KerasSource:
    """A built keras.Model that classifies images.

    A model with logits gets a softmax, and a single sigmoid or logit becomes two columns, so that served scores are
    probabilities. `pixels` is `raw` when the model scales its pixels itself and no other scaling is given.
    """

    engines = tuple(ENGINES)

    def __init__(self, network: Any, origin: str, pixels: str | None = None, size: int = 0) -> None:
        if not network.built or not hasattr(network, "inputs") or network.inputs is None:
            raise SourceError(f"{origin} does not know the shape of its input; build it before you save it")
        form = spec_of(origin, _ends(network.inputs), _ends(network.outputs), size, sizable=True)
        self.origin, self.changes = origin, ""
        self.pixels = pixels or (
            "raw" if any(isinstance(layer, _OWN_SCALING) for layer in network.layers[:3]) else None
        )
        self._shape = form.height, form.width, form.channels
        self._given, self._network = network, self._with_probabilities(network)
        self.spec = ModelSpec(*self._shape, "float32", int(self._network.output_shape[1]))

    @property
    def parameters(self) -> int:
        return int(self._network.count_params())

    def score(self, images: Images, signature: Signature) -> Scores:
        parts = [self._network.predict_on_batch(images[start : start + 32]) for start in range(0, len(images), 32)]
        return np.concatenate(parts).astype(np.float32)

    def write(self, work: Path) -> Endpoints | None:
        folder = work / ENGINES["savedmodel"].path
        return write_saved_model(folder, self._network, self._shape, explain_endpoint(self._given, self.spec.outputs))

    def _with_probabilities(self, network: Any) -> Any:
        images = keras.Input(self._shape, dtype="float32", name="images")
        scores = network(images, training=False)
        noise = np.random.default_rng(0).uniform(-1, 1, (_TRIED, *self._shape)).astype(np.float32)
        tried = np.concatenate([network.predict_on_batch(noise * gain) for gain in (1, 255)])
        if not np.isfinite(tried).all():
            raise SourceError(f"{self.origin} gives scores that are not numbers")
        are_logits = tried.min() < 0 or tried.max() > 1 + 1e-3
        if are_logits:
            scores = keras.ops.sigmoid(scores) if scores.shape[-1] == 1 else keras.ops.softmax(scores)
            self.changes = "the import turns its logits into probabilities"
        if scores.shape[-1] == 1:
            scores = keras.ops.concatenate([1 - scores, scores], axis=-1)
            self.changes = "the import turns its one score p into two, 1 - p and p"
        return keras.Model(images, scores) if self.changes or network.dtype != "float32" else network


def _ends(tensors: Any) -> list[TensorSpec]:
    return [(tensor.name, tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]
