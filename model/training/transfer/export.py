"""Export of a transfer run: its checkpoint becomes an artifact with the very recipe that its features were made by."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from model.artifact.load import Artifact, load_engine
from model.engines.base import Signature
from model.training.data.batches import read_batches
from model.training.data.folders import Photo
from model.training.errors import RunError
from model.training.export.artifact_writer import read_signature
from model.training.export.calibration_data import photo_trial
from model.training.export.package import pack
from model.training.export.variants import Product
from model.training.importing.keras_source import KerasSource
from model.training.importing.safe_keras import load_keras
from model.training.transfer.config import TransferConfig, read_transfer_config
from model.training.transfer.train import CHECKPOINT, CONFIG, TRAINING, VALIDATION


def is_transfer_run(run: Path) -> bool:
    return (run / VALIDATION).is_file()


def export_run(run: Path, out: Path | None = None, engines: Sequence[str] = ()) -> Artifact:
    """Make the artifact of a run, by default in build/artifacts/<its name>.

    Raises RunError when the run was interrupted, ExportError when an engine does not score as the network does.
    """
    if not (run / CHECKPOINT).is_file():
        raise RunError(f"{run} holds no {CHECKPOINT}: its training did not end; train again")
    config = read_transfer_config(run / CONFIG, {})
    signature = read_signature(run)
    source = KerasSource(load_keras(run / CHECKPOINT), str(run))
    training, validation = (_photos(run / name, signature.labels) for name in (TRAINING, VALIDATION))
    trial = photo_trial(training, validation, signature, "validation images") if training and validation else None
    product = Product(source, signature, config.name, config.version, engines or source.engines, trial)

    def tell(artifact: Artifact) -> str:
        return _story(config, signature, accuracy_of(artifact, run))

    return pack(product, out or Path("build/artifacts") / config.name, tell)


def accuracy_of(artifact: Artifact, run: Path) -> tuple[float, int]:
    """The share of the run's validation images, as files, that the artifact is right on, and how many there are."""
    photos = _photos(run / VALIDATION, artifact.signature.labels)
    _, engine = load_engine(artifact)
    right = count = 0
    for part, images in read_batches(photos, artifact.signature, 32, {}):
        best = engine.score(images).argmax(axis=1)
        right += sum(int(label) == photo.label for label, photo in zip(best, part, strict=True))
        count += len(part)
    engine.close()
    return (right / count if count else 0.0), count


def _photos(listed: Path, labels: Sequence[str]) -> list[Photo]:
    """Those that a run was made with and that are still where they were."""
    with listed.open(newline="", encoding="utf-8") as file:
        photos = [Photo(Path(row["file"]), labels.index(row["label"])) for row in csv.DictReader(file)]
    return [photo for photo in photos if photo.path.is_file()]


def _story(config: TransferConfig, signature: Signature, accuracy: tuple[float, int]) -> str:
    share, count = accuracy
    measured = (
        f"**{share:.2%}** right on the {count:,} validation images as files, through the recipe and the engine "
        "that serve; they also chose between the head alone and fine-tuning."
        if count
        else "The validation images are no longer where they were: not measured as served."
    )
    return f"""Tells {len(signature.labels)} classes apart: {config.backbone} (weights {Path(config.weights).name},
width {config.alpha:g}) with a head of its own, trained for {config.epochs} epochs; its last {config.fine_tune_layers}
layers for up to {config.fine_tune_epochs} more.
{measured}"""
