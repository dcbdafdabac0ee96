"""Transfer learning: from a folder of photos and a backbone to a network of one's own.

A run's folder: config.yaml, signature.json, labels.txt, history.csv, checkpoint.keras, training.csv (the images learnt
from), validation.csv (those held out) and skipped.csv (the files that are no images). `export` makes its artifact.
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
from model.training.data.batches import Skipped
from model.training.data.folders import Folders, Photo, read_folders
from model.training.errors import DatasetError, RunError
from model.training.export.artifact_writer import write_signature
from model.training.transfer.backbone import Network, PhotoBatches, build, features_of, one_hot, unfreeze
from model.training.transfer.config import TransferConfig

CHECKPOINT = "checkpoint.keras"
CONFIG = "config.yaml"
HISTORY = "history.csv"
TRAINING = "training.csv"
VALIDATION = "validation.csv"
_SHOWN = 10

_Part = tuple[list[Photo], Any]
"""Photos and what the backbone says of each."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to: validation accuracy 0..1 after the head alone and of what was kept."""

    head_accuracy: float
    accuracy: float
    training: int
    validation: int
    skipped: int


def transfer(config: TransferConfig, out: Path) -> Result:
    """Train as `config` says; the folder `out` then holds a run. Fine-tuning is kept only if it is better.

    Raises RunError when `out` holds a run already or cannot be written, DatasetError and SourceError for what is wrong
    with what was given.
    """
    if (out / CHECKPOINT).exists():
        raise RunError(f"{out} holds a run already; choose another folder (--out) or remove it")
    keras.utils.set_random_seed(config.seed)
    data = read_folders(Path(config.data), config.validation_share, config.seed, config.classes)
    network = build(config, data.labels)
    skipped: Skipped = {}
    _say(f"{config.backbone}: {len(data.training) + len(data.validation):,} images of {len(data.labels)} classes")
    training, features = features_of(network, data.training, config.batch_size, skipped)
    validation, held_out = features_of(network, data.validation, config.batch_size, skipped)
    _report(skipped)
    _check(data, training, validation)
    try:
        _describe(out, config, network, {TRAINING: training, VALIDATION: validation}, skipped)
        accuracies = _learn(config, network, (training, features), (validation, held_out), out)
    except OSError as exc:
        raise RunError(f"{out} cannot be written: {exc.strerror or exc}; its training did not end") from exc
    return Result(*accuracies, len(training), len(validation), len(skipped))


def _learn(config: TransferConfig, network: Network, learnt: _Part, held_out: _Part, out: Path) -> tuple[float, float]:
    """Train the head, then the last layers; gives the validation accuracy of the head and of what was kept."""
    (training, features), (validation, validation_features) = learnt, held_out
    labels = len(network.signature.labels)
    weights = class_weights(training, labels)
    targets, validation_targets = (one_hot(photos, labels) for photos in (training, validation))
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


def class_weights(photos: Sequence[Photo], labels: int) -> dict[int, float]:
    """What an image of each class counts, so that every class counts alike and an image counts 1 on average."""
    times = Counter(photo.label for photo in photos)
    return {label: len(photos) / (labels * times[label]) for label in range(labels)}


def _fine_tune(
    config: TransferConfig,
    network: Network,
    training: Sequence[Photo],
    validation: Sequence[Photo],
    weights: dict[int, float],
    head_accuracy: float,
    out: Path,
) -> float:
    """Train the last layers on; the checkpoint is replaced by an epoch that is better. Gives the best accuracy."""
    unfreeze(network, config.fine_tune_layers)
    _compile(network.whole, config.fine_tune_rate, config)
    history = network.whole.fit(
        PhotoBatches(training, network, config, vary=True),
        initial_epoch=config.epochs,
        epochs=config.epochs + config.fine_tune_epochs,
        class_weight=weights,
        validation_data=PhotoBatches(validation, network, config, vary=False),
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


def _check(data: Folders, training: Sequence[Photo], validation: Sequence[Photo]) -> None:
    for part, photos in (("train on", training), ("validate on", validation)):
        left = {photo.label for photo in photos}
        for number, label in enumerate(data.labels):
            if number not in left:
                raise DatasetError(f"the class {label!r} has no image that can be read to {part}; it must have one")


def _describe(
    out: Path, config: TransferConfig, network: Network, parts: Mapping[str, Sequence[Photo]], skipped: Skipped
) -> None:
    """Everything of the run's folder but what training makes."""
    out.mkdir(parents=True, exist_ok=True)
    (out / HISTORY).unlink(missing_ok=True)  # of a run that was interrupted
    (out / CONFIG).write_text(config.to_yaml(), "utf-8")
    labels = network.signature.labels
    write_signature(out, network.signature)
    for name, photos in parts.items():
        _write_csv(out / name, ("file", "label"), ((photo.path, labels[photo.label]) for photo in photos))
    _write_csv(out / "skipped.csv", ("file", "why"), skipped.items())


def _write_csv(path: Path, header: tuple[str, str], rows: Iterable[tuple[Any, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _report(skipped: Skipped) -> None:
    for path, why in list(skipped.items())[:_SHOWN]:
        _say(f"skipped {printable(str(path))}: {why}")
    if len(skipped) > _SHOWN:
        _say(f"skipped {len(skipped) - _SHOWN} more; skipped.csv lists them all")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
