"""Evaluates an artifact on labelled image files, with the decoder, recipe and engine of the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.artifact.load import AUTO, ENGINES, Artifact, load_engine, read_artifact
from model.engines.base import Engine
from model.metrics import (
    Calibration,
    ClassFigures,
    Numbers,
    accuracy,
    calibration,
    class_figures,
    confusion,
    macro,
    top_k_accuracy,
)
from model.training.data import idx
from model.training.data.folders import evenly_spaced
from model.training.data.labelled import ClassMap, LabelledImage, labelled_images, read_labelled
from model.training.errors import DatasetError
from model.training.evaluation.baselines import logistic_regression, majority
from model.training.evaluation.scoring import Scored, score_images

# What is evaluated where no images are named.
TEST_IMAGES = "test images of Fashion-MNIST"

# Values of k for top-k accuracy.
_TOP = 2, 3, 5


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results for `scored` images. Shares are 0..1, sizes bytes, latencies milliseconds, rates images per second.

    When an image has several correct labels, its true label is the one with the highest score. So a hit counts for the
    label that was predicted, and a miss for the label that the model came closest to.
    """

    artifact: Artifact
    engine: str
    size: int
    scored: Scored
    truth: Numbers
    best: Numbers
    confusion: Numbers
    accuracy: float
    classes: dict[str, ClassFigures]
    calibration: Calibration
    baselines: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as the JSON object of `evaluate --json`.

        It holds the labels that occur: those of an image or of a prediction.
        """
        precision, recall, f1 = macro(list(self.classes.values()))
        scored, artifact = self.scored, self.artifact
        return {
            "model": artifact.name,
            "version": artifact.version,
            "digest": artifact.digest,
            "engine": self.engine,
            "parameters": artifact.parameters,
            "size_bytes": self.size,
            "images": len(scored.items),
            "skipped": [asdict(skipped) for skipped in scored.skipped],
            "accuracy": self.accuracy,
            "top_k": {str(k): top_k_accuracy(scored.scores, scored.right, k) for k in self._tops()},
            "macro": {"precision": precision, "recall": recall, "f1": f1},
            "classes": {label: asdict(figures) for label, figures in self._occurring().items()},
            "confusion": self._confusion(),
            "calibration": asdict(self.calibration),
            "latency_ms": {f"p{p}": round(float(np.percentile(scored.latencies, p)), 3) for p in (50, 95)},
            "images_per_second": {"from_bytes": round(scored.rate, 1), "scoring": round(scored.scoring_rate, 1)},
            "baselines": self.baselines,
        }

    def to_text(self) -> str:
        """The evaluation as text for a terminal."""
        found = self.to_dict()
        head = f"{found['model']} {found['version']} ({self.engine}): {self.accuracy:.2%} of {found['images']:,} images"
        lines = [head + (f", {len(found['skipped'])} more could not be read" if found["skipped"] else "")]
        for label, figures in self._occurring().items():
            shares = (figures.precision, figures.recall, figures.f1)
            cells = "".join(f"{'-' if share is None else f'{share:.1%}':>9}" for share in shares)
            lines.append(f"  {label:<12}{cells}  of {figures.images:,}")
        lines.append(f"  {'macro':<12}" + "".join(f"{share:>9.1%}" for share in found["macro"].values()))
        lines[1:1] = [f"  {'':<12}{'precision':>9}{'recall':>9}{'F1':>9}"]
        beaten = ", ".join(f"{name} {share:.1%}" for name, share in self.baselines.items() if share is not None)
        top = ", ".join(f"{share:.2%} in the best {k}" for k, share in found["top_k"].items())
        latency, rates = found["latency_ms"], found["images_per_second"]
        lines += [f"correct label: {top}"] if top else []
        lines += [
            f"calibration error {self.calibration.error:.3f}; median {latency['p50']:.1f} ms per image; "
            f"{rates['from_bytes']:,.0f} images/s from file bytes, {rates['scoring']:,.0f} without preprocessing",
            f"baselines: {beaten}",
        ]
        return "\n".join(lines)

    def _occurring(self) -> dict[str, ClassFigures]:
        return {label: figures for label, figures in self.classes.items() if figures.images or figures.answers}

    def _confusion(self) -> dict[str, Any]:
        places = [place for place, figures in enumerate(self.classes.values()) if figures.images or figures.answers]
        return {"labels": list(self._occurring()), "counts": self.confusion[np.ix_(places, places)].tolist()}

    def _tops(self) -> list[int]:
        return [k for k in _TOP if k < len(self.classes)]


def evaluate(
    folder: Path,
    engine: str = AUTO,
    data: Path | None = None,
    listed: Path | None = None,
    mapping: ClassMap | None = None,
    limit: int | None = None,
) -> Evaluation:
    """Score the labelled images at `data` (default: Fashion-MNIST's test images) with the artifact in `folder`.

    `listed` and `mapping`: see `read_labelled`. `limit`: at most this many images, evenly spread. Raises ArtifactError
    or DatasetError when the artifact or the data cannot be used.
    """
    artifact = read_artifact(folder)
    if artifact.signature.multi_label:
        raise DatasetError(
            f"{folder} is multi-label; accuracy is measured only for models whose labels exclude each other"
        )
    items = _items(artifact, data, listed, mapping or {})
    if limit is not None:
        items = evenly_spaced(items, limit)
    name, loaded = load_engine(artifact, engine)
    try:
        return assess(artifact, name, loaded, items)
    finally:
        loaded.close()


def assess(artifact: Artifact, name: str, engine: Engine, items: Sequence[LabelledImage]) -> Evaluation:
    """Evaluate `engine` on labelled images. Raises DatasetError when none can be read."""
    scored, labels = score_images(engine, items), artifact.signature.labels
    best = scored.scores.argmax(axis=1)
    first = np.array([item.right[0] for item in scored.items])
    is_right = scored.right[np.arange(len(best)), best]
    truth = np.where(scored.right, scored.scores, -np.inf).argmax(axis=1)
    matrix = confusion(truth, best, len(labels))
    path = artifact.folder / ENGINES[name].path
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Evaluation(
        artifact,
        name,
        sum(file.stat().st_size for file in files),
        scored,
        truth,
        best,
        matrix,
        accuracy(matrix),
        dict(zip(labels, class_figures(matrix), strict=True)),
        calibration(scored.scores.max(axis=1), is_right),
        {
            "majority": majority(scored.right),
            "logistic_regression": logistic_regression(scored.pixels, first, scored.right),
        },
    )


def _items(artifact: Artifact, data: Path | None, listed: Path | None, mapping: ClassMap) -> list[LabelledImage]:
    labels = artifact.signature.labels
    if data is not None:
        return read_labelled(data, labels, listed, mapping)
    if listed or mapping:
        raise DatasetError("--labels and --map need --data, the folder with the images")
    if labels != idx.FASHION_MNIST_LABELS:
        raise DatasetError(f"{artifact.name} was not trained on Fashion-MNIST: name the images with --data")
    return labelled_images(idx.load("test"))
