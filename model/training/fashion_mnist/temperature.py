"""Temperature scaling: one divisor of the logits, fitted on validation images, so that scores are near accuracies.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (2017), section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.engines.base import Scores
from model.metrics import Numbers, calibration

# The temperatures that are tried: 1 % apart, from a quarter to four.
_TRIED = np.geomspace(0.25, 4, 279)


def fit_temperature(scores: Scores, truth: Numbers) -> float:
    """The temperature that makes the labels `truth` [N] most probable, given the uncalibrated scores [N, labels]."""
    logits = _logits(scores)
    rows = np.arange(len(truth))

    def loss(temperature: float) -> float:
        return -float(np.log(_softmax(logits / temperature)[rows, truth] + 1e-12).mean())

    return float(min(_TRIED, key=loss))


def calibration_error(scores: Scores, truth: Numbers, temperature: float = 1.0) -> float:
    """The expected calibration error, 0..1, of scores [N, labels] whose logits are divided by `temperature`."""
    probabilities = _softmax(_logits(scores) / temperature).astype(np.float32)
    return calibration(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth).error


def divide_logits(network: Any, temperature: float) -> None:
    """Divide the logits of a keras.Model, whose last layer computes them and their softmax, by `temperature`."""
    last = network.layers[-1]
    last.set_weights([weights / np.float32(temperature) for weights in last.get_weights()])


def _logits(scores: Scores) -> npt.NDArray[np.float64]:
    """The logits that softmax turns into these scores, but for a constant of each row."""
    return np.log(np.maximum(scores.astype(np.float64), 1e-12))


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
