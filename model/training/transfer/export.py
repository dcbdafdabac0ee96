"""Exports a transfer run as an artifact, with the recipe that it was trained with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from model.artifact.load import Artifact, load_engine
from model.engines.base import Signature
from model.training.data.batches import read_batches
from model.training.data.folders import ImageFile
from model.training.errors import RunError
from model.training.export.artifact_writer import read_signature
from model.training.export.calibration_data import read_calibration_files
from model.training.export.package import pack
from model.training.export.variants import ExportJob
from model.training.importing.keras_source import KerasSource
from model.training.importing.safe_keras import load_keras
from model.training.transfer.config import TransferConfig, read_transfer_config
from model.training.transfer.train import CHECKPOINT, CONFIG, TRAINING, VALIDATION


def is_transfer_run(run: Path) -> bool:
    return (run / VALIDATION).is_file()


def export_run(run: Path, out: Path | None = None, engines: Sequence[str] = (), quick: bool = False) -> Artifact:
    """Make the artifact of a run, by default in build/artifacts/<its name>.

    Raises RunError when the run is unfinished, ExportError when an engine's scores differ from the network's.
    """
    if not (run / CHECKPOINT).is_file():
        raise RunError(f"{run} holds no {CHECKPOINT}: its training is unfinished; train again")
    config = read_transfer_config(run / CONFIG, {})
    signature = read_signature(run)
    source = KerasSource(load_keras(run / CHECKPOINT), str(run))
    training, validation = (_image_files(run / name, signature.labels) for name in (TRAINING, VALIDATION))
    trial = (
        read_calibration_files(training, validation, signature, "validation images")
        if training and validation
        else None
    )
    product = ExportJob(source, signature, config.name, config.version, engines or source.engines, trial, quick)

    def describe(artifact: Artifact) -> str:
        return _description(config, signature, accuracy_of(artifact, run))

    return pack(product, out or Path("build/artifacts") / config.name, describe)


def accuracy_of(artifact: Artifact, run: Path) -> tuple[float, int]:
    """The artifact's accuracy on the files of the run's validation images, and the number of these images."""
    files = _image_files(run / VALIDATION, artifact.signature.labels)
    _, engine = load_engine(artifact)
    right = count = 0
    for part, images in read_batches(files, artifact.signature, 32, {}):
        best = engine.score(images).argmax(axis=1)
        right += sum(int(label) == file.label for label, file in zip(best, part, strict=True))
        count += len(part)
    engine.close()
    return (right / count if count else 0.0), count


def _image_files(listed: Path, labels: Sequence[str]) -> list[ImageFile]:
    """The images that the run lists and that still exist."""
    with listed.open(newline="", encoding="utf-8") as file:
        files = [ImageFile(Path(row["file"]), labels.index(row["label"])) for row in csv.DictReader(file)]
    return [file for file in files if file.path.is_file()]


def _description(config: TransferConfig, signature: Signature, accuracy: tuple[float, int]) -> str:
    share, count = accuracy
    measured = (
        f"It gets **{share:.2%}** right on the {count:,} validation images, scored as files with the served recipe "
        "and engine; these images also decided between the head alone and fine-tuning."
        if count
        else "The validation images no longer exist at their paths, so the served accuracy was not measured."
    )
    return f"""Classifies {len(signature.labels)} classes: {config.backbone} (weights {Path(config.weights).name}, width
{config.alpha:g}) with a new head, trained for {config.epochs} epochs; its last {config.fine_tune_layers} layers were
trained for up to {config.fine_tune_epochs} more.
{measured}"""
