"""The teachers of a distillation: artifacts whose mean prediction the network learns.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015). They are scored by the engines that serve
them. On a CPU, LiteRT's int8 is several times as fast as TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.artifact.load import load_engine, read_artifact
from model.engines.base import Images, Scores, Signature
from model.errors import ArtifactError
from model.training.errors import RunError

# Fields of the signature that a teacher shares with the network that it teaches.
_SAME = "height", "width", "channels", "dtype", "labels", "preprocessing"


class Teachers:
    """The artifacts in some folders. Raises RunError when one cannot be loaded or is for other images or labels."""

    def __init__(self, folders: Sequence[str], signature: Signature) -> None:
        self._engines = []
        for folder in folders:
            try:
                artifact = read_artifact(Path(folder))
                _, engine = load_engine(artifact, threads=os.cpu_count() or 1)
            except ArtifactError as exc:
                raise RunError(f"the teacher {folder} cannot be used: {exc}") from exc
            for field in _SAME:
                own, wanted = getattr(artifact.signature, field), getattr(signature, field)
                if own != wanted:
                    raise RunError(
                        f"the teacher {folder} cannot be used: its {field} is {own!r}; it must be {wanted!r}"
                    )
            self._engines.append(engine)

    def score(self, images: Images) -> Scores:
        """The mean [N, labels] of the teachers' scores for images [N, height, width, channels]."""
        mean: Scores = np.mean([engine.score(images) for engine in self._engines], axis=0)
        return mean
