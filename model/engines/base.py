"""Interfaces of inference engines.

An engine turns a batch of preprocessed images into a batch of scores, without files, labels or messages. The engines
are in litert.py, savedmodel.py and onnx.py; model/artifact/load.py chooses and loads one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

# Preprocessed images: the signature's dtype, [N, height, width, channels].
Images = npt.NDArray[Any]

# Probabilities: float32 [N, labels], 0..1.
Scores = npt.NDArray[np.float32]


# Meanings of a model's outputs (see outputs.py): probabilities and logits of labels that exclude each other, and of
# labels that do not; one probability or one logit, which belongs to the second of two labels.
PROBABILITIES, LOGITS = "probabilities", "logits"
MULTILABEL_PROBABILITIES, MULTILABEL_LOGITS = "multilabel-probabilities", "multilabel-logits"
PROBABILITY, LOGIT = "probability", "logit"

# The score from which on an image has a label of a multi-label model, unless its signature says another one.
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Signature:
    """Input and output of an engine.

    `preprocessing` is the recipe from signature.json, run by `model.preprocessing.recipe.preprocess`. `outputs`: the
    meaning of the model's numbers, from which the engine makes its scores. `threshold`, above 0 and below 1: the score
    from which on an image has a label, for a multi-label model.
    """

    height: int
    width: int
    channels: int
    dtype: str
    labels: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    outputs: str = PROBABILITIES
    threshold: float = THRESHOLD

    @property
    def multi_label(self) -> bool:
        """Whether its labels do not exclude each other: an image may have several, or none."""
        return self.outputs in (MULTILABEL_PROBABILITIES, MULTILABEL_LOGITS)

    @property
    def cut(self) -> float | None:
        """The threshold of a multi-label model; None for a model that gives each image its best label."""
        return self.threshold if self.multi_label else None


# What a model's last layer makes the scores of: float32 [N, numbers], without a unit. Similar images have similar ones.
Features = npt.NDArray[np.float32]

# Numbers of an image's features. No usual classifier has more before its last layer, and a response must stay small.
MAX_FEATURES = 4_096

# Evidence of each part of an image for each label: float32 [N, rows, columns, labels], without a unit.
Activations = npt.NDArray[np.float32]


class Engine(Protocol):
    """Scores images. Row i of the scores belongs to image i. Safe to call from any thread; blocks until done."""

    @property
    def signature(self) -> Signature: ...

    @property
    def device(self) -> str:
        """What scores: `CPU`, or the name of a GPU."""
        ...

    def score(self, images: Images, /) -> Scores:
        """Score `images` [N, height, width, channels], N at least 1; returns float32 [N, labels]."""
        ...

    def activations(self, images: Images, /) -> Activations | None:
        """The class activation maps of `images`; None when the model has none."""
        ...

    def features(self, images: Images, /) -> Features | None:
        """The features of `images`, at most MAX_FEATURES numbers each; None when the model has none."""
        ...

    def close(self) -> None:
        """Release the engine's resources. Scoring afterwards is an error."""
        ...


class AsyncEngine(Protocol):
    """Scores images without blocking the caller. Callable from any thread."""

    @property
    def max_batch_size(self) -> int:
        """Most images that are scored in one call."""
        ...

    def submit(self, prepare: Callable[[], Images], count: int = 1, /) -> Future[Scores]:
        """Scores float32 [N, labels] of the N images, 1 to `count`, that `prepare` returns; another thread calls it."""
        ...

    def backlog_s(self) -> float:
        """Seconds until the images that wait are scored."""
        ...

    def cancel(self) -> None:
        """Cancel the futures of the images that wait."""
        ...
