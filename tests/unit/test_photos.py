"""The shipped model on real photos of clothes, through the serving path: decoded, isolated, scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.artifact.load import load_engine, read_artifact
from model.preprocessing.recipe import preprocess
from model.training.fashion_mnist.photos import RIGHT
from tests.conftest import absent

LEAST = 0.78


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[tuple[str, Path]]:
    """290 photos that nothing was chosen by."""
    folder = shared_data / "clothing" / "validation"
    if not folder.is_dir():
        absent(f"no photos at {folder}")
    return [(kind, path) for kind in RIGHT for path in sorted((folder / kind).iterdir())]


def test_the_shipped_model_is_right_on_most_photos(root: Path, photos: list[tuple[str, Path]]) -> None:
    artifact = read_artifact(root / "model" / "artifacts" / "fashion-mnist")
    _, engine = load_engine(artifact, "litert")
    images = np.concatenate([preprocess(path.read_bytes(), artifact.signature) for _, path in photos])
    scores = engine.score(images)
    engine.close()
    best = [artifact.signature.labels[n] for n in scores.argmax(axis=1)]
    hits = [label in RIGHT[kind] for (kind, _), label in zip(photos, best, strict=True)]
    by_kind = {kind: [hit for (k, _), hit in zip(photos, hits, strict=True) if k == kind] for kind in RIGHT}
    table = ", ".join(f"{kind} {sum(found)}/{len(found)}" for kind, found in by_kind.items())
    print(f"{sum(hits)} of {len(hits)} photos ({np.mean(hits):.1%}): {table}")
    assert len(hits) == 290
    assert np.mean(hits) >= LEAST, table
