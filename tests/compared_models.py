"""Versions of the shipped model that score differently, and test images with their true labels, for comparisons."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from model.artifact.golden import record
from model.artifact.load import open_engine, read_artifact
from model.training.data import idx
from tests.registry_models import NAME, seal

_SHIPPED = Path(__file__).resolve().parents[1] / "model" / "artifacts" / NAME
_ENGINE, _FILE = "litert", "model.tflite"


def dimmed(folder: Path, version: str, share: float) -> Path:
    """An artifact in `folder` that sees its images with `share` of their brightness: another recipe, other scores."""
    shutil.copytree(_SHIPPED, folder, ignore=shutil.ignore_patterns("training"))
    signature = folder / "signature.json"
    body = json.loads(signature.read_text())
    [scale] = [step for step in body["preprocessing"]["steps"] if step["op"] == "scale"]
    scale["factor"] *= share
    signature.write_text(json.dumps(body))
    seal(folder, version)
    engine = open_engine(_ENGINE, folder / _FILE, read_artifact(folder).signature)
    (folder / "golden.json").write_bytes(record(engine.signature, {_ENGINE: engine}))
    engine.close()
    return seal(folder, version)


def labelled(data: Path, folder: Path, count: int) -> Path:
    """Write the first test images of Fashion-MNIST to `folder`; return a CSV file with their names and true labels.

    `data`: the folder of the dataset.
    """
    test = idx.load("test", data).take(slice(count))
    folder.mkdir(parents=True)
    lines = ["file,label"]
    for number, (pixels, label) in enumerate(zip(test.images, test.labels, strict=True)):
        Image.fromarray(pixels).save(folder / f"{number:05}.png")
        lines.append(f"{number:05}.png,{idx.FASHION_MNIST_LABELS[label]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"
