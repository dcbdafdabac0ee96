"""The folder of a run: its config, history, plot and weights, each replaced whole, so that kill -9 leaves them whole.

`checkpoint.keras` (weights and optimiser) is as old as the last epoch; with `patience` there is `best.keras` beside it.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import time
from pathlib import Path

import keras

from model.training.config import Config
from model.training.errors import RunError
from model.training.plot import draw

CHECKPOINT = "checkpoint.keras"
BEST = "best.keras"
HISTORY = "history.csv"
PLOT = "history.png"
CONFIG = "config.yaml"
_COLUMNS = "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "rate", "seconds"

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
        checkpoint = _next(self._out / CHECKPOINT)
        self.model.save(checkpoint)
        if self._config.patience and _best(self._rows) == len(self._rows) - 1:
            shutil.copyfile(checkpoint, _next(self._out / BEST))
            os.replace(_next(self._out / BEST), self._out / BEST)
        draw(self._rows, _next(self._out / PLOT))
        os.replace(_next(self._out / PLOT), self._out / PLOT)
        with _next(self._out / HISTORY).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
        os.replace(_next(self._out / HISTORY), self._out / HISTORY)
        os.replace(checkpoint, self._out / CHECKPOINT)


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
    """Whether the run came to its last epoch, or to the end of its patience."""
    return len(rows) >= config.epochs or out_of_patience(config, rows)


def final_weights(run: Path) -> Path:
    """The checkpoint that a finished run is exported from: the best where one was kept, else the last."""
    best = run / BEST
    return best if best.exists() else run / CHECKPOINT


def _best(rows: Rows) -> int:
    """The first row of the best validation accuracy; -1 when there is no row."""
    return max(range(len(rows)), key=lambda n: float(rows[n]["val_accuracy"]), default=-1)


def _next(path: Path) -> Path:
    return path.with_name(f"next-{path.name}")
