"""The folder of a run: its config, history, plot and weights, each replaced whole, so that kill -9 leaves them whole.

`checkpoint.keras` (weights and optimiser) is as old as the last epoch. With `patience` there is `best.keras` beside it;
with `average` the network at the end of every cycle but the last, and in the end `average.keras`, the mean of all ends.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import time
from pathlib import Path

import keras

from model.training.errors import RunError
from model.training.fashion_mnist.config import Config
from model.training.fashion_mnist.plot import draw

CHECKPOINT = "checkpoint.keras"
BEST = "best.keras"
AVERAGE = "average.keras"
HISTORY = "history.csv"
PLOT = "history.png"
CONFIG = "config.yaml"
_COLUMNS = "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "rate", "seconds"

MEAN = "average"
"""What the history has for an epoch in the row of the mean of the cycles' ends."""

Rows = list[dict[str, str]]


class Journal(keras.callbacks.Callback):  # type: ignore[misc]
    """After every epoch: history, plot and checkpoint are written, and a line to stderr; stops a run out of patience.

    Raises RunError when the folder cannot be written, which leaves it as it was after the epoch before.
    """

    def __init__(self, out: Path, rows: Rows, config: Config) -> None:
        super().__init__()
        self._out, self._rows, self._config = out, rows, config
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = {**(logs or {}), "rate": float(self.model.optimizer.learning_rate)}
        seconds = time.monotonic() - self._began
        row = {"epoch": str(epoch + 1), "seconds": f"{seconds:.1f}"}
        self._rows.append({name: row.get(name) or f"{values[name]:.6f}" for name in _COLUMNS})
        try:
            self._keep()
        except OSError as exc:
            raise RunError(
                f"{self._out} cannot be written after epoch {epoch + 1}: {exc.strerror or exc}; what was kept before "
                "stands: make room, then go on with --resume"
            ) from exc
        print(
            f"epoch {epoch + 1}/{self._config.epochs}: loss {values['loss']:.4f}, accuracy {values['accuracy']:.4f}, "
            f"validation accuracy {values['val_accuracy']:.4f}, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        self.model.stop_training = out_of_patience(self._config, self._rows)

    def _keep(self) -> None:
        """The checkpoint last: a run goes on from it, and forgets what the other files say of later epochs."""
        checkpoint = beside(self._out / CHECKPOINT)
        self.model.save(checkpoint)
        if self._config.patience and _best(self._rows) == len(self._rows) - 1:
            shutil.copyfile(checkpoint, beside(self._out / BEST))
            os.replace(beside(self._out / BEST), self._out / BEST)
        if self._config.average and len(self._rows) in self._config.ends[:-1]:
            end = self._out / cycle_end(self._config.ends.index(len(self._rows)) + 1)
            self.model.save(beside(end), include_optimizer=False)
            os.replace(beside(end), end)
        write_history(self._out, self._rows)
        os.replace(checkpoint, self._out / CHECKPOINT)


def write_history(out: Path, rows: Rows) -> None:
    """Replace the plot and the history of the run in `out`."""
    draw(rows, beside(out / PLOT))
    os.replace(beside(out / PLOT), out / PLOT)
    with beside(out / HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(beside(out / HISTORY), out / HISTORY)


def load_history(path: Path) -> Rows:
    """The rows of a history.csv; empty when there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def out_of_patience(config: Config, rows: Rows) -> bool:
    """Whether the last `patience` epochs brought no better validation accuracy."""
    return 0 < config.patience <= len(rows) - 1 - _best(rows)


def finished(config: Config, rows: Rows) -> bool:
    """Whether the run came to its last epoch and to the mean it was to end with, or to the end of its patience."""
    return averaged(rows) if config.average else len(rows) >= config.epochs or out_of_patience(config, rows)


def epochs_of(rows: Rows) -> Rows:
    """The rows of epochs, without that of a mean."""
    return [row for row in rows if row["epoch"] != MEAN]


def averaged(rows: Rows) -> bool:
    """Whether there is a row of the mean of the cycles' ends."""
    return len(epochs_of(rows)) < len(rows)


def cycle_end(number: int) -> str:
    """The file of the network that cycle `number`, from 1, ended with."""
    return f"cycle-{number}.keras"


def final_weights(run: Path) -> Path:
    """What a finished run is exported from: the mean of its cycles' ends or the best epoch where kept; or the last."""
    return next((run / name for name in (AVERAGE, BEST) if (run / name).exists()), run / CHECKPOINT)


def _best(rows: Rows) -> int:
    """The first row of the best validation accuracy; -1 when there is no row."""
    return max(range(len(rows)), key=lambda n: float(rows[n]["val_accuracy"]), default=-1)


def beside(path: Path) -> Path:
    """Where the next version of a file is written, to replace it whole."""
    return path.with_name(f"next-{path.name}")
