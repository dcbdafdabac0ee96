"""The folder of a run: its config, history, plot and weights. Files are replaced atomically, so a kill damages none.

`checkpoint.keras` holds the weights and the optimiser after the last epoch. With `patience` there is also `best.keras`;
with `average` there is the network at the end of every cycle but the last, and finally `average.keras`, their mean.
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

# The value of the history's column `epoch` in the row of the averaged network.
MEAN = "average"

Rows = list[dict[str, str]]


class EpochRecorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes history, plot and checkpoint after every epoch, prints a line, and stops a run whose patience has ended.

    Raises RunError when the folder cannot be written; its files are then those of the previous epoch.
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
                f"{self._out} cannot be written after epoch {epoch + 1}: {exc.strerror or exc}; the files of earlier "
                "epochs are kept: free disk space, then continue with --resume"
            ) from exc
        print(
            f"epoch {epoch + 1}/{self._config.epochs}: loss {values['loss']:.4f}, accuracy {values['accuracy']:.4f}, "
            f"validation accuracy {values['val_accuracy']:.4f}, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        self.model.stop_training = out_of_patience(self._config, self._rows)

    def _keep(self) -> None:
        """Write the checkpoint last: a run continues from it, and drops later epochs from the other files."""
        checkpoint = next_version(self._out / CHECKPOINT)
        self.model.save(checkpoint)
        if self._config.patience and _best(self._rows) == len(self._rows) - 1:
            shutil.copyfile(checkpoint, next_version(self._out / BEST))
            os.replace(next_version(self._out / BEST), self._out / BEST)
        if self._config.average and len(self._rows) in self._config.ends[:-1]:
            end = self._out / cycle_end(self._config.ends.index(len(self._rows)) + 1)
            self.model.save(next_version(end), include_optimizer=False)
            os.replace(next_version(end), end)
        write_history(self._out, self._rows)
        os.replace(checkpoint, self._out / CHECKPOINT)


def write_history(out: Path, rows: Rows) -> None:
    """Replace the plot and the history of the run in `out`."""
    draw(rows, next_version(out / PLOT))
    os.replace(next_version(out / PLOT), out / PLOT)
    with next_version(out / HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(next_version(out / HISTORY), out / HISTORY)


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
    """Whether the run reached its last epoch and its average, or the end of its patience."""
    return averaged(rows) if config.ends_in_mean else len(rows) >= config.epochs or out_of_patience(config, rows)


def epochs_of(rows: Rows) -> Rows:
    """The rows of epochs, without the row of the averaged network."""
    return [row for row in rows if row["epoch"] != MEAN]


def averaged(rows: Rows) -> bool:
    """Whether there is a row of the averaged network."""
    return len(epochs_of(rows)) < len(rows)


def cycle_end(number: int) -> str:
    """The file of the network at the end of cycle `number`, counted from 1."""
    return f"cycle-{number}.keras"


def final_weights(run: Path) -> Path:
    """The network to export from a finished run: the average or the best epoch if there is one, else the last."""
    return next((run / name for name in (AVERAGE, BEST) if (run / name).exists()), run / CHECKPOINT)


def _best(rows: Rows) -> int:
    """The index of the first row with the best validation accuracy; -1 when there is no row."""
    return max(range(len(rows)), key=lambda n: float(rows[n]["val_accuracy"]), default=-1)


def next_version(path: Path) -> Path:
    """The path of a file's next version, which then replaces the file atomically."""
    return path.with_name(f"next-{path.name}")
