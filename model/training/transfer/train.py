"""Transfer learning: trains a new head, and the last layers, of a pretrained backbone on a folder of labelled images.

A run folder holds config.yaml, signature.json, labels.txt, history.csv, checkpoint.keras, training.csv and
validation.csv (the images of each part) and skipped.csv (files that are not images). `export` makes its artifact.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from model.text import printable
from model.training.data.batches import SkippedFiles
from model.training.data.folders import Folders, ImageFile, read_folders
from model.training.errors import DatasetError, RunError
from model.training.export.artifact_writer import write_signature
from model.training.transfer.backbone import ImageBatches, Network, build, features_of, one_hot, unfreeze
from model.training.transfer.config import TransferConfig

CHECKPOINT = "checkpoint.keras"
CONFIG = "config.yaml"
HISTORY = "history.csv"
TRAINING = "training.csv"
VALIDATION = "validation.csv"
# SkippedFiles files that are printed.
_SHOWN = 10

# Images, and the backbone's features for them.
_Part = tuple[list[ImageFile], Any]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run: validation accuracy (0..1) with only the head trained, and of the saved network."""

    head_accuracy: float
    accuracy: float
    training: int
    validation: int
    skipped: int


def transfer(config: TransferConfig, out: Path) -> Result:
    """Train as `config` says; the folder `out` then holds a run. Fine-tuning is kept only when it is better.

    Raises RunError when `out` already holds a run or cannot be written, DatasetError and SourceError when the data or
    the weights cannot be used.
    """
    if (out / CHECKPOINT).exists():
        raise RunError(f"{out} holds a run already; choose another folder (--out) or remove it")
    keras.utils.set_random_seed(config.seed)
    data = read_folders(Path(config.data), config.validation_share, config.seed, config.classes)
    network = build(config, data.labels)
    skipped: SkippedFiles = {}
    _say(f"{config.backbone}: {len(data.training) + len(data.validation):,} images of {len(data.labels)} classes")
    training, features = features_of(network, data.training, config.batch_size, skipped)
    validation, held_out = features_of(network, data.validation, config.batch_size, skipped)
    _report(skipped)
    _check(data, training, validation)
    try:
        _describe(out, config, network, {TRAINING: training, VALIDATION: validation}, skipped)
        accuracies = _learn(config, network, (training, features), (validation, held_out), out)
    except OSError as exc:
        raise RunError(f"{out} cannot be written: {exc.strerror or exc}; its training is unfinished") from exc
    return Result(*accuracies, len(training), len(validation), len(skipped))


def _learn(config: TransferConfig, network: Network, learnt: _Part, held_out: _Part, out: Path) -> tuple[float, float]:
    """Train the head, then the last layers; returns the validation accuracy of the head and of the saved network."""
    (training, features), (validation, validation_features) = learnt, held_out
    labels = len(network.signature.labels)
    weights = class_weights(training, labels)
    targets, validation_targets = (one_hot(files, labels) for files in (training, validation))
    _compile(network.head, config.rate, config)
    journal = keras.callbacks.CSVLogger(str(out / HISTORY), append=True)
    head_accuracy = _last_accuracy(
        network.head.fit(
            features,
            targets,
            batch_size=config.batch_size,
            epochs=config.epochs,
            class_weight=weights,
            validation_data=(validation_features, validation_targets),
            callbacks=[journal],
            verbose=0,
        )
    )
    _say(f"head: validation accuracy {head_accuracy:.2%}")
    network.whole.save(out / CHECKPOINT)
    accuracy = head_accuracy
    if config.fine_tune_epochs:
        accuracy = max(accuracy, _fine_tune(config, network, training, validation, weights, head_accuracy, out))
    return head_accuracy, accuracy


def class_weights(files: Sequence[ImageFile], labels: int) -> dict[int, float]:
    """The weight of an image of each class: all classes have the same total weight, and an image has 1 on average."""
    times = Counter(file.label for file in files)
    return {label: len(files) / (labels * times[label]) for label in range(labels)}


def _fine_tune(
    config: TransferConfig,
    network: Network,
    training: Sequence[ImageFile],
    validation: Sequence[ImageFile],
    weights: dict[int, float],
    head_accuracy: float,
    out: Path,
) -> float:
    """Train the last layers; an epoch that is better replaces the checkpoint. Returns the best accuracy."""
    unfreeze(network, config.fine_tune_layers)
    _compile(network.whole, config.fine_tune_rate, config)
    history = network.whole.fit(
        ImageBatches(training, network, config, vary=True),
        initial_epoch=config.epochs,
        epochs=config.epochs + config.fine_tune_epochs,
        class_weight=weights,
        validation_data=ImageBatches(validation, network, config, vary=False),
        callbacks=[
            keras.callbacks.CSVLogger(str(out / HISTORY), append=True),
            keras.callbacks.ModelCheckpoint(
                out / CHECKPOINT, "val_accuracy", save_best_only=True, mode="max", initial_value_threshold=head_accuracy
            ),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: _say(
                    f"fine-tuning, epoch {epoch + 1 - config.epochs}/{config.fine_tune_epochs}: "
                    f"loss {logs['loss']:.4f}, validation accuracy {logs['val_accuracy']:.2%}"
                )
            ),
        ],
        verbose=0,
    )
    return float(max(history.history["val_accuracy"]))


def _compile(network: Any, rate: float, config: TransferConfig) -> None:
    network.compile(
        keras.optimizers.Adam(rate),
        keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        jit_compile=False,
    )


def _last_accuracy(history: Any) -> float:
    return float(history.history["val_accuracy"][-1])


def _check(data: Folders, training: Sequence[ImageFile], validation: Sequence[ImageFile]) -> None:
    for part, files in (("train on", training), ("validate on", validation)):
        left = {file.label for file in files}
        for number, label in enumerate(data.labels):
            if number not in left:
                raise DatasetError(f"the class {label!r} has no readable image to {part}; it must have one")


def _describe(
    out: Path, config: TransferConfig, network: Network, parts: Mapping[str, Sequence[ImageFile]], skipped: SkippedFiles
) -> None:
    """Write the files of the run's folder that exist before training."""
    out.mkdir(parents=True, exist_ok=True)
    (out / HISTORY).unlink(missing_ok=True)  # from an interrupted run
    (out / CONFIG).write_text(config.to_yaml(), "utf-8")
    labels = network.signature.labels
    write_signature(out, network.signature)
    for name, files in parts.items():
        _write_csv(out / name, ("file", "label"), ((file.path, labels[file.label]) for file in files))
    _write_csv(out / "skipped.csv", ("file", "why"), skipped.items())


def _write_csv(path: Path, header: tuple[str, str], rows: Iterable[tuple[Any, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _report(skipped: SkippedFiles) -> None:
    for path, why in list(skipped.items())[:_SHOWN]:
        _say(f"skipped {printable(str(path))}: {why}")
    if len(skipped) > _SHOWN:
        _say(f"skipped {len(skipped) - _SHOWN} more; skipped.csv lists them all")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
