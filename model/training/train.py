"""Training: from a config and the dataset to a checkpoint and its history.

A run lives in one folder: config.yaml, history.csv, checkpoint.keras (weights and optimiser, after every epoch).
Batches depend on seed, epoch and step alone, so a run that was interrupted and resumed sees what it would have seen
(dropout excepted: Keras keeps no record of where its random numbers stood).
The test split is not read here.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.training import datasets
from model.training.augment import augment
from model.training.config import Config
from model.training.errors import RunError
from model.training.inputs import as_inputs, signature_of
from model.training.network import build

CHECKPOINT = "checkpoint.keras"
HISTORY = "history.csv"
CONFIG = "config.yaml"
_COLUMNS = "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "rate", "seconds"


def train(config: Config, out: Path, resume: bool = False, data: Path | None = None) -> list[dict[str, str]]:
    """Train to the config's last epoch; gives the rows of history.csv.

    `data` is a folder of IDX files (default: where `datasets.load` looks). Raises RunError when `out` holds a run
    already and `resume` is false, or holds one of another config; DatasetError when there is no data.
    """
    keras.utils.set_random_seed(config.seed)
    whole = datasets.load("train", data)
    if config.validation_images + max(config.train_images, config.batch_size) > len(whole):
        raise RunError(
            f"train_images is {config.train_images} and validation_images {config.validation_images}; "
            f"the training split holds {len(whole)} images"
        )
    fit_on, validate_on = datasets.split(whole, config.validation_images, config.seed)
    if config.train_images:
        fit_on = fit_on.take(slice(config.train_images))
    batches = Batches(fit_on, config)
    steps = len(batches)

    network, rows = _start(config, out, resume)
    done = int(network.optimizer.iterations) // steps
    rows = rows[:done]
    if done < config.epochs:
        network.fit(
            batches,
            shuffle=False,  # Batches does it
            epochs=config.epochs,
            initial_epoch=done,
            validation_data=(as_inputs(validate_on.images, signature_of(config.recipe)), _one_hot(validate_on.labels)),
            validation_batch_size=500,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.begin(epoch)),
                OneCycle(config, steps),
                Journal(out, rows, config.epochs),
            ],
            verbose=0,
        )
    return rows


def one_cycle(step: int, steps: int, peak: float, warmup: float) -> float:
    """The learning rate for `step` of `steps`: up from 0 to `peak` over the share `warmup`, then down to 0, in lines.

    Smith, Topin, "Super-Convergence" (2018).
    """
    at = (step + 1) / (steps + 1)
    return peak * (at / warmup if at < warmup else (1 - at) / (1 - warmup))


class OneCycle(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the learning rate before each step from the optimiser's own step count, which checkpoints keep."""

    def __init__(self, config: Config, steps: int) -> None:
        super().__init__()
        self._config, self._steps = config, steps * config.epochs

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        optimizer = self.model.optimizer
        step = int(optimizer.iterations)
        optimizer.learning_rate = one_cycle(step, self._steps, self._config.peak_rate, self._config.warmup)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Augmented batches of one epoch after another: images float32 [B, 28, 28, 1], targets float32 [B, labels]."""

    def __init__(self, part: datasets.Split, config: Config) -> None:
        super().__init__()
        self._part, self._config = part, config
        self._signature = signature_of(config.recipe)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Turn to this epoch: its order, its variations."""
        self._epoch = epoch
        self._order = np.random.default_rng((self._config.seed, epoch)).permutation(len(self._part))

    def __len__(self) -> int:
        return len(self._part) // self._config.batch_size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        config = self._config
        part = self._part.take(self._order[index * config.batch_size : (index + 1) * config.batch_size])
        rng = np.random.default_rng((config.seed, self._epoch, index))
        images = augment(part.images, rng, config.shift, config.flip, config.cutout)
        return as_inputs(images, self._signature), _one_hot(part.labels)


class Journal(keras.callbacks.Callback):  # type: ignore[misc]
    """After every epoch: a row in history.csv, a checkpoint that replaces the last one whole, a line on stderr."""

    def __init__(self, out: Path, rows: list[dict[str, str]], epochs: int) -> None:
        super().__init__()
        self._out, self._rows, self._epochs = out, rows, epochs
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = {**(logs or {}), "rate": float(self.model.optimizer.learning_rate)}
        seconds = time.monotonic() - self._began
        row = {"epoch": str(epoch + 1), "seconds": f"{seconds:.1f}"}
        self._rows.append({name: row.get(name) or f"{values[name]:.6f}" for name in _COLUMNS})
        temporary = self._out / f"next-{CHECKPOINT}"
        self.model.save(temporary)
        _write_history(self._out / HISTORY, self._rows)
        os.replace(temporary, self._out / CHECKPOINT)
        print(
            f"epoch {epoch + 1}/{self._epochs}: loss {values['loss']:.4f}, accuracy {values['accuracy']:.4f}, "
            f"validation accuracy {values['val_accuracy']:.4f}, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )


def load_history(path: Path) -> list[dict[str, str]]:
    """The rows of a history.csv; empty when there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_history(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _start(config: Config, out: Path, resume: bool) -> tuple[Any, list[dict[str, str]]]:
    """A compiled network, new or from the folder's checkpoint, and the history so far."""
    checkpoint, kept = out / CHECKPOINT, out / CONFIG
    if checkpoint.exists():
        if not resume:
            raise RunError(f"{out} holds a run already; go on with it (--resume) or choose another folder (--out)")
        if kept.read_text("utf-8") != config.to_yaml():
            raise RunError(f"{kept} differs from the config given; a run is resumed with the config that began it")
        return keras.models.load_model(checkpoint), load_history(out / HISTORY)
    out.mkdir(parents=True, exist_ok=True)
    kept.write_text(config.to_yaml(), "utf-8")
    network = build(config.widths, config.dropout, len(datasets.FASHION_MNIST_LABELS), config.precision)
    network.compile(
        keras.optimizers.SGD(0.0, config.momentum, nesterov=True, weight_decay=config.weight_decay or None),
        keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return network, []


def _one_hot(labels: Any) -> Any:
    return np.eye(len(datasets.FASHION_MNIST_LABELS), dtype=np.float32)[labels]
