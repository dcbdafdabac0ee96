"""Evaluation as people will use the model: test images as PNG files, through the serving recipe and an engine."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.artifact import AUTO, load_engine, read_artifact
from model.engine import Engine
from model.metrics import accuracy, class_figures, confusion
from model.preprocess import preprocess
from model.training import datasets
from model.training.measure import score_all


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and the recall of each label (None where no image has it), both 0..1, over `images` test images."""

    model: str
    version: str
    digest: str
    engine: str
    images: int
    accuracy: float
    recall: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        """A few lines for people."""
        lines = [f"{self.model} {self.version} ({self.engine}): {self.accuracy:.2%} of {self.images:,} test images"]
        lines += [
            f"  {label:<12} {'-' if share is None else f'{share:.1%}':>6}" for label, share in self.recall.items()
        ]
        return "\n".join(lines)


def evaluate(folder: Path, engine: str = AUTO, limit: int | None = None, data: Path | None = None) -> Evaluation:
    """Score the first `limit` test images (all by default) with the artifact in `folder`.

    Raises ArtifactError or DatasetError when one of them cannot be used.
    """
    artifact = read_artifact(folder)
    name, loaded = load_engine(artifact, engine)
    try:
        part = datasets.load("test", data).take(slice(limit))
        right, shares = assess(loaded, part)
    finally:
        loaded.close()
    labels = artifact.signature.labels
    by_label = dict(zip(labels, shares, strict=True))
    return Evaluation(artifact.name, artifact.version, artifact.digest, name, len(part), right, by_label)


def assess(engine: Engine, part: datasets.Split) -> tuple[float, list[float | None]]:
    """Accuracy and per-class recall of `engine` on images that travel as PNG files through its recipe."""
    prepared = np.concatenate([preprocess(as_png(image), engine.signature) for image in part.images])
    best = score_all(engine, prepared).argmax(axis=1)
    matrix = confusion(part.labels, best, len(engine.signature.labels))
    return accuracy(matrix), [figures.recall for figures in class_figures(matrix)]


def as_png(image: Any) -> bytes:
    """One dataset image, uint8 [height, width], as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
