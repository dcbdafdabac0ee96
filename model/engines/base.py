"""What every inference runtime looks like from outside.

An engine turns a batch of preprocessed images into a batch of scores and knows nothing of bytes, labels or messages.
The runtimes themselves are in savedmodel.py and litert.py; which one is loaded is decided in load.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[Any]
"""Preprocessed images: the signature's dtype, [N, height, width, channels]."""

Scores = npt.NDArray[np.float32]
"""Probabilities: float32 [N, labels], 0..1."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What an engine wants and gives.

    `preprocessing` is the recipe from signature.json, run by `model.preprocessing.recipe.preprocess`.
    """

    height: int
    width: int
    channels: int
    dtype: str
    labels: tuple[str, ...]
    preprocessing: Mapping[str, Any]


Activations = npt.NDArray[np.float32]
"""How much each part of an image speaks for each label, in no unit: float32 [N, rows, columns, labels]."""


class Engine(Protocol):
    """Scores images. Row i of the answer belongs to image i. Safe to call from any thread; blocks until done."""

    @property
    def signature(self) -> Signature: ...

    def score(self, images: Images, /) -> Scores:
        """Score `images` [N, height, width, channels], N at least 1; gives float32 [N, labels]."""
        ...

    def activations(self, images: Images, /) -> Activations | None:
        """Which parts of `images` speak for which label; None when the model cannot say."""
        ...

    def close(self) -> None:
        """Stop what runs behind the engine. Scoring afterwards is an error."""
        ...


class AsyncEngine(Protocol):
    """Scores images without blocking the caller. Callable from any thread."""

    def submit(self, prepare: Callable[[], Images], /) -> Future[Scores]:
        """Scores float32 [1, labels] of the one image that `prepare` returns; another thread calls `prepare`."""
        ...

    def cancel(self) -> None:
        """Cancel the futures of the images that wait."""
        ...
