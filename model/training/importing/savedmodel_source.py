"""SavedModel folders to export. The folder is copied unchanged after the checks."""

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
from model.text import reason
from model.training.errors import SourceError
from model.training.export.source import Endpoints, spec_of
from model.training.importing.savedmodel_ends import ends_of

_ROOT = "saved_model.pb"


def is_saved_model(path: Path) -> bool:
    return (path / _ROOT).is_file()


class SavedModelSource:
    """The `serving_default` signature of a SavedModel folder. It does not say how its pixels were scaled."""

    engines = tuple(ENGINES)
    pixels = None
    parameters = 0

    def __init__(self, path: Path, size: int = 0) -> None:
        self.origin, self._path = str(path), path
        try:
            check_saved_model(path)
            self._loaded = tf.saved_model.load(str(path))
            score: Any = self._loaded.signatures[SERVING]
        except KeyError:
            raise SourceError(f"{path} has no signature named {SERVING}; save it with one") from None
        except ArtifactError as exc:
            raise SourceError(str(exc)) from exc
        except Exception as exc:  # TensorFlow raises many kinds of exceptions for a damaged graph
            raise SourceError(f"{path} is not a SavedModel that TensorFlow can load: {reason(exc)}") from exc
        inputs, outputs = score.structured_input_signature[1], score.structured_outputs
        ends = [
            [(name, spec.shape.as_list() if spec.shape.rank is not None else [], spec.dtype.name) for name, spec in of]
            for of in (inputs.items(), outputs.items())
        ]
        self.spec = spec_of(self.origin, ends[0], ends[1], size)
        if ends[0][0][1][0] is not None:
            raise SourceError(f"{path} takes only batches of {ends[0][0][1][0]}; it must take any number of images")
        self.ends = ends_of(score)
        self._score, self._input, self._output = score, ends[0][0][0], ends[1][0][0]

    def score(self, images: Images, signature: Signature) -> Scores:
        parts = [images[start : start + 32] for start in range(0, len(images), 32)]
        return np.concatenate([self._score(**{self._input: tf.constant(part)})[self._output].numpy() for part in parts])

    def write(self, work: Path) -> Endpoints | None:
        shutil.copytree(self._path, work / ENGINES["savedmodel"].path)
        return Endpoints((SERVING,), self._input)
