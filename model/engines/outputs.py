"""The meaning of a model's outputs, and the scores that they give. signature.json names the meaning.

Every engine applies it, so that a model keeps its file unchanged whatever its format is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.engines.base import (
    LOGIT,
    LOGITS,
    MULTILABEL_LOGITS,
    MULTILABEL_PROBABILITIES,
    PROBABILITIES,
    PROBABILITY,
    Scores,
)

# Meanings of one number for each label.
ROWS = PROBABILITIES, LOGITS, MULTILABEL_PROBABILITIES, MULTILABEL_LOGITS

# Meanings of one number for each image: it belongs to the second of two labels.
SINGLE = PROBABILITY, LOGIT

MEANINGS = ROWS + SINGLE


def width_of(outputs: str, labels: int) -> int:
    """How many numbers a model with these outputs gives for each image."""
    return 1 if outputs in SINGLE else labels


def as_scores(outputs: str, given: npt.NDArray[Any]) -> Scores:
    """The scores float32 [N, labels] that a model's numbers [N, width] mean."""
    if outputs in (PROBABILITIES, MULTILABEL_PROBABILITIES):
        return given
    if outputs == LOGITS:
        powers = np.exp(given - given.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
    scores = given if outputs == PROBABILITY else _sigmoid(given)
    return np.asarray(np.concatenate([1 - scores, scores], axis=1) if outputs in SINGLE else scores, np.float32)


def _sigmoid(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """1 / (1 + exp(-values)), written so that no value overflows."""
    return 0.5 * (1 + np.tanh(0.5 * values))
