"""SavedModel folders to export. The folder is copied unchanged, or written again with the chosen input and output."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from model.artifact.load import ENGINES
from model.engines.base import Images, Scores, Signature
from model.engines.savedmodel import SERVING
from model.engines.savedmodel_check import check_saved_model
from model.errors import ArtifactError
from model.text import quoted, reason
from model.training.errors import SourceError
from model.training.export.source import (
    NO_CHOICE,
    TENSORFLOW,
    Choice,
    Endpoints,
    ModelSpec,
    TensorSpec,
    chosen,
    spec_of,
)
from model.training.importing.savedmodel_ends import ends_of, takes_channels_first

_ROOT = "saved_model.pb"

# Types of images that float32 is converted to.
_FLOATS = "float16", "bfloat16", "float64"


def is_saved_model(path: Path) -> bool:
    return (path / _ROOT).is_file()


class SavedModelSource:
    """A signature of a SavedModel folder, by default `serving_default`, and one of its outputs.

    It does not say how its pixels were scaled.
    """

    engines = TENSORFLOW
    pixels: str | tuple[Any, Any] | None = None
    labels: tuple[str, ...] | None = None
    parameters = 0

    def __init__(self, path: Path, choice: Choice = NO_CHOICE) -> None:
        self.origin, self._path = str(path), path
        try:
            check_saved_model(path)
            self._loaded = tf.saved_model.load(str(path))
            signatures = dict(self._loaded.signatures)
        except ArtifactError as exc:
            raise SourceError(str(exc)) from exc
        except Exception as exc:  # TensorFlow raises many kinds of exceptions for a damaged graph
            raise SourceError(f"{path} is not a SavedModel that TensorFlow can load: {reason(exc)}") from exc
        score = _signature(self.origin, signatures, choice.signature)
        inputs, outputs = (_specs(ends) for ends in (score.structured_input_signature[1], score.structured_outputs))
        output_spec = outputs[chosen(self.origin, [name for name, _, _ in outputs], choice.output)]
        as_float = [(name, shape, "float32" if dtype in _FLOATS else dtype) for name, shape, dtype in inputs]
        self.spec = spec_of(self.origin, as_float, output_spec, choice.size, channels_first=takes_channels_first(score))
        self._input, given, self._dtype = inputs[0]
        if given[0] is not None:
            raise SourceError(f"{path} takes only batches of {given[0]}; it must take any number of images")
        self._output = output_spec[0]
        takes = tuple(given[1:]), self._dtype, output_spec[2]
        self._is_served = (
            signatures.get(SERVING) is score
            and len(outputs) == 1
            and takes == (_row(self.spec), self.spec.dtype, "float32")
        )
        self._score = score if self._is_served else self._chosen(score).get_concrete_function()
        self.ends = ends_of(self._score)

    def score(self, images: Images, signature: Signature) -> Scores:
        given, made = (self._input, self._output) if self._is_served else ("images", "scores")
        parts = [images[start : start + 32] for start in range(0, len(images), 32)]
        return np.concatenate([self._score(**{given: tf.constant(part)})[made].numpy() for part in parts])

    def write(self, work: Path) -> Endpoints | None:
        folder = work / ENGINES["savedmodel"].path
        if self._is_served:
            shutil.copytree(self._path, folder)
            return Endpoints((SERVING,), self._input)
        module = tf.Module()
        module.source, module.score = self._loaded, self._served
        tf.saved_model.save(module, str(folder), signatures={SERVING: self._served})
        return Endpoints((SERVING,), "images")

    def _chosen(self, score: Any) -> Any:
        """A function of images with their channels last and of the specified size, which gives the chosen output in
        float32."""
        spec, given, made, dtype = self.spec, self._input, self._output, self._dtype

        def served(images: Any) -> dict[str, Any]:
            turned = tf.transpose(images, (0, 3, 1, 2)) if spec.channels_first else images
            return {"scores": tf.cast(score(**{given: tf.cast(turned, dtype)})[made], tf.float32)}

        images = tf.TensorSpec((None, *_row(spec)), spec.dtype, name="images")
        self._served = tf.function(served, input_signature=[images], autograph=False)
        return self._served


def _signature(origin: str, signatures: dict[str, Any], wanted: str | None) -> Any:
    name = wanted or SERVING
    if name in signatures:
        return signatures[name]
    if not signatures:
        raise SourceError(f"{origin} has no signature; save it with one named {SERVING}")
    listed = ", ".join(map(quoted, sorted(signatures)))
    raise SourceError(f"{origin} has no signature named {name}; name one of its own with --signature: {listed}")


def _specs(ends: Any) -> list[TensorSpec]:
    """Names, shapes and dtypes of a signature's inputs or outputs."""
    return [
        (name, spec.shape.as_list() if spec.shape.rank is not None else [], spec.dtype.name)
        for name, spec in ends.items()
    ]


def _row(spec: ModelSpec) -> tuple[int, ...]:
    """The shape of an image."""
    return spec.height, spec.width, spec.channels
