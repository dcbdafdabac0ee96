"""A model that is imported: its file, what its import may ask, and the scores of the tool that made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from model.engines.base import Images, Signature
from model.preprocessing.recipe import preprocess
from model.training.importing.recipe import recipe

Score = Callable[[Images], Any]
"""The tool's scores [N, labels] of images [N, height, width, channels]."""

SPREAD = 3.0
"""The deviation of each label's logits over the photos, for random weights."""


class NotInstalled(Exception):
    """A model's package is not on this machine."""


@dataclass(frozen=True, slots=True)
class Made:
    """`source`: what a user names in the import command. `score` returns probabilities, computed by the tool itself."""

    source: str
    score: Score


@dataclass(frozen=True, slots=True)
class Subject:
    """`make` writes the model to the current folder. `fixed` are options of every import of it, `answers` what the
    import may ask for. `real`: whether its weights are trained."""

    tool: str
    name: str
    make: Callable[[], Made]
    answers: Sequence[str] = ()
    fixed: Sequence[str] = ()
    real: bool = False


class Photos:
    """The photos, as bytes of files."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.data = [file.read_bytes() for file in files]

    @cache  # noqa: B019  # one object lives as long as the program
    def prepared(self, pixels: str, size: int, count: int = 32) -> Images:
        """The first photos, with the recipe of these pixels, for statistics of random weights."""
        signature = Signature(size, size, 3, "float32", (), recipe(pixels, size, size))
        return np.concatenate([preprocess(each, signature) for each in self.data[:count]])


def softmax(logits: Any) -> Any:
    powers = np.exp(np.float64(logits) - np.max(logits, axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def spread(features: Any, kernel: Any, offset: Any) -> tuple[Any, Any]:
    """A last layer's kernel [features, labels] and offsets, changed so that each label's logits have the mean 0 and the
    deviation SPREAD over the features [N, features] of the photos: different photos get different best labels."""
    logits = np.asarray(features, np.float64) @ np.asarray(kernel, np.float64) + offset
    factor = SPREAD / logits.std(axis=0)
    return kernel * factor, (offset - logits.mean(axis=0)) * factor
