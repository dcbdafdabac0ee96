"""Trains the network: from a config and the dataset to a checkpoint and its history in a run folder (run_folder.py).

Batches depend only on seed, epoch and step, so a run that was interrupted and resumed sees the same batches. Dropout
differs, because Keras does not store the state of its random number generators. The test split is not read here.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from model.text import reason
from model.training.data import idx
from model.training.errors import RunError
from model.training.fashion_mnist.batches import Batches, one_hot
from model.training.fashion_mnist.config import Config, read_config
from model.training.fashion_mnist.inputs import as_inputs, signature_of
from model.training.fashion_mnist.network import build
from model.training.fashion_mnist.photos import load_photos
from model.training.fashion_mnist.run_folder import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    EpochRecorder,
    Rows,
    averaged,
    load_history,
    out_of_patience,
)
from model.training.fashion_mnist.teachers import Teachers
from model.training.fashion_mnist.weight_averaging import average


def train(config: Config, out: Path, resume: bool = False, data: Path | None = None, tensorboard: bool = False) -> Rows:
    """Train to the config's last epoch and average, or until its patience ends; returns the rows of history.csv.

    `data` is a folder of IDX files (default: see `idx.load`); `tensorboard` writes event files to `out`/tensorboard.
    Raises RunError when `out` holds a run and `resume` is false, holds a run of another config, or cannot be written;
    DatasetError when there is no data. On Ctrl-C it prints how to continue.
    """
    whole = idx.load("train", data)
    if config.validation_images + max(config.train_images, config.batch_size) > len(whole):
        raise RunError(
            f"train_images is {config.train_images} and validation_images {config.validation_images}; "
            f"the training split holds {len(whole)} images"
        )
    fit_on, validate_on = idx.split(whole, config.validation_images, config.seed)
    if config.train_images:
        fit_on = fit_on.take(slice(config.train_images))
    network, rows = _start(config, out, resume)
    if averaged(rows):
        return rows
    devices = [device.name for device in tf.config.list_logical_devices("GPU")] or ["the CPU"]
    print(f"training on {', '.join(devices)}, computing in {config.precision}", file=sys.stderr, flush=True)
    watchers = _tensorboard(out) if tensorboard else []
    signature = signature_of(config.recipe)
    validation = as_inputs(validate_on.images, signature), one_hot(validate_on.labels, config.label_smoothing)
    try:
        _run_cycles(network, rows, config, out, fit_on, validation, watchers)
        if config.ends_in_mean:
            average(network, config, as_inputs(fit_on.images, signature), validation, out, rows)
    except KeyboardInterrupt:
        kept = len(load_history(out / HISTORY))
        print(f"{out} keeps {kept} of {config.epochs} epochs; continue with --resume", file=sys.stderr, flush=True)
        raise
    return rows


def _run_cycles(
    network: Any,
    rows: Rows,
    config: Config,
    out: Path,
    fit_on: idx.Split,
    validation: tuple[Any, Any],
    watchers: list[Any],
) -> None:
    """Run the remaining epochs of each cycle. `rows` is cut to the checkpoint's epochs first."""
    teachers = Teachers(config.teachers, signature_of(config.recipe)) if config.teachers else None
    photos = load_photos() if config.photos else None
    steps = len(fit_on) // config.batch_size
    done = int(network.optimizer.iterations) // steps
    del rows[done:]
    for cycle, last in zip(config.cycles, config.ends, strict=True):
        first = last - cycle.epochs
        if done < last and not out_of_patience(config, rows):
            batches = Batches(fit_on, config, cycle, teachers, photos)
            network.fit(
                batches,
                shuffle=False,  # Batches shuffles
                epochs=last,
                initial_epoch=max(done, first),
                validation_data=validation,
                validation_batch_size=500,
                callbacks=[
                    keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs, b=batches: b.begin(epoch)),
                    OneCycle(steps * first, steps * cycle.epochs, cycle.peak_rate, config.warmup),
                    EpochRecorder(out, rows, config),
                    *watchers,
                ],
                verbose=0,
            )


def _tensorboard(out: Path) -> list[Any]:
    if importlib.util.find_spec("tensorboard") is None:
        raise RunError("tensorboard is not installed: pip install tensorboard")
    return [keras.callbacks.TensorBoard(out / "tensorboard", write_graph=False)]


def one_cycle(step: int, steps: int, peak: float, warmup: float) -> float:
    """The learning rate for `step` of `steps`: a linear rise to `peak` in the share `warmup`, then a linear fall to 0.

    Smith, Topin, "Super-Convergence" (2018).
    """
    at = (step + 1) / (steps + 1)
    return peak * (at / warmup if at < warmup else (1 - at) / (1 - warmup))


class OneCycle(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the learning rate before each step, from the optimiser's own step count, which checkpoints include."""

    def __init__(self, first: int, steps: int, peak: float, warmup: float) -> None:
        super().__init__()
        self._first, self._steps, self._peak, self._warmup = first, steps, peak, warmup

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        optimizer = self.model.optimizer
        step = int(optimizer.iterations) - self._first
        optimizer.learning_rate = one_cycle(step, self._steps, self._peak, self._warmup)


def _start(config: Config, out: Path, resume: bool) -> tuple[Any, Rows]:
    """A compiled network, new or from the folder's checkpoint, and its history."""
    checkpoint, kept = out / CHECKPOINT, out / CONFIG
    if checkpoint.exists():
        if not resume:
            raise RunError(f"{out} holds a run already; continue it (--resume) or choose another folder (--out)")
        if read_config(kept) != config:
            raise RunError(
                f"{kept} differs from the given config; a run is resumed with the config that it started with"
            )
        return keras.models.load_model(checkpoint), load_history(out / HISTORY)
    try:
        out.mkdir(parents=True, exist_ok=True)
        kept.write_text(config.to_yaml(), "utf-8")
    except OSError as exc:
        raise RunError(f"{out} cannot be written: {exc.strerror}") from exc
    network = build(
        config.widths,
        config.dropout,
        len(idx.FASHION_MNIST_LABELS),
        config.precision,
        config.seed,
        config.downsampling,
    )
    if config.initial:
        _set_weights(network, Path(config.initial))
    network.compile(
        keras.optimizers.SGD(0.0, config.momentum, nesterov=True, weight_decay=config.weight_decay or None),
        keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return network, []


def _set_weights(network: Any, initial: Path) -> None:
    """Give `network` the weights of the network in the file `initial`. Raises RunError when they do not fit."""
    try:
        network.set_weights(keras.models.load_model(initial, compile=False).get_weights())
    except (OSError, ValueError) as exc:
        raise RunError(f"initial is {str(initial)!r}, whose weights cannot be used: {reason(exc)}") from exc
