"""Averages the weights of networks of a run, which often predicts better than each of them.

At the ends of its cycles: Izmailov, Podoprikhin, Garipov, Vetrov, Wilson, "Averaging Weights Leads to Wider Optima and
Better Generalization" (2018). At its beginning and its end: Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models"
(2022).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.engines.base import Images
from model.training.errors import RunError
from model.training.fashion_mnist.config import Config
from model.training.fashion_mnist.run_folder import AVERAGE, MEAN, Rows, cycle_end, next_version, write_history

# Images of one call of the network.
_BATCH = 500


def average(network: Any, config: Config, images: Images, validation: tuple[Any, Any], out: Path, rows: Rows) -> None:
    """Replace the weights of `network`, at the end of its last cycle, by a mean of several networks' weights: those at
    the ends of all cycles, or the initial ones and those at the end.

    The average is written to `out`, then recorded in a last row of the history: a run without that row is unfinished.
    Raises RunError when the end of a cycle is missing or `out` cannot be written.
    """
    began = time.monotonic()
    ends = [_weights(path) for path in _others(config, out)] + [network.get_weights()]
    share = config.initial_share
    shares = [share, 1 - share] if share else [1 / len(ends)] * len(ends)
    network.set_weights([np.average(each, axis=0, weights=shares) for each in zip(*ends, strict=True)])
    recompute_batch_norm(network, images)
    loss, accuracy = network.evaluate(*validation, batch_size=_BATCH, verbose=0)
    row = dict.fromkeys(rows[-1], "") | {"epoch": MEAN, "val_loss": f"{loss:.6f}", "val_accuracy": f"{accuracy:.6f}"}
    row["seconds"] = f"{time.monotonic() - began:.1f}"
    try:
        network.save(next_version(out / AVERAGE), include_optimizer=False)
        os.replace(next_version(out / AVERAGE), out / AVERAGE)
        write_history(out, [*rows, row])
    except OSError as exc:
        raise RunError(
            f"{out / AVERAGE} cannot be written: {exc.strerror or exc}; free disk space, then continue with --resume"
        ) from exc
    rows.append(row)
    print(f"average of {len(ends)} networks: validation accuracy {accuracy:.4f}", file=sys.stderr, flush=True)


def recompute_batch_norm(network: Any, images: Images) -> None:
    """Compute batch normalisation's means and variances from these images, because averaged ones would not fit."""
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH]
        for layer in layers:
            layer.momentum = start / (start + len(part))  # makes the moving average a plain one
        network(part, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _others(config: Config, out: Path) -> list[Path]:
    """The files of the networks whose mean with the last one is the final network."""
    if config.initial_share:
        return [Path(config.initial)]
    return [out / cycle_end(number) for number in range(1, len(config.cycles))]


def _weights(path: Path) -> list[Any]:
    if not path.exists():
        raise RunError(f"{path} is missing: the average needs it; train again from the start")
    weights: list[Any] = keras.models.load_model(path, compile=False).get_weights()
    return weights
