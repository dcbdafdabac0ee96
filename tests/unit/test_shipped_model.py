"""The committed artifact is the trained model that its card describes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from model.artifact.load import Artifact, load_engine, read_artifact
from model.drift import compare, read_reference
from model.engines.base import Scores
from model.labels import Prediction
from model.predictor import rank
from model.preprocessing.recipe import preprocess
from model.training.data import idx
from model.training.data.png import as_png
from model.training.export.benchmark import score_all
from model.training.export.selection import VARIANTS
from model.training.fashion_mnist.config import CONFIGS, RECIPES, read_config
from model.training.fashion_mnist.inputs import as_inputs, signature_of

CARD = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist" / "MODEL_CARD.md"


@pytest.fixture(scope="module")
def shipped(root: Path) -> Artifact:
    return read_artifact(root / "model" / "artifacts" / "fashion-mnist")


def test_a_dataset_image_passes_the_recipe_unchanged(shipped: Artifact, shared_data: Path) -> None:
    images = idx.load("test", shared_data / "fashion-mnist").images[:200]
    trained_on = as_inputs(images, signature_of("fashion-mnist"))
    for image, expected in zip(images, trained_on, strict=True):
        assert np.array_equal(preprocess(as_png(image), shipped.signature)[0], expected)
        np.testing.assert_allclose(expected[..., 0], image / 255, atol=1e-7)


def test_the_recipe_is_the_one_of_the_training_package(shipped: Artifact) -> None:
    recipe = json.loads((RECIPES / "fashion-mnist.json").read_text("utf-8"))
    assert shipped.signature.preprocessing == recipe, "the recipe has changed: make export"


def test_the_shipped_config_was_trained_to_its_end(shipped: Artifact) -> None:
    training = shipped.folder / "training"
    config = read_config(training / "config.yaml")
    assert config == read_config(CONFIGS / "fashion-mnist.yaml")
    assert (shipped.name, shipped.version) == (config.name, config.version)
    epochs = [line.split(",")[0] for line in (training / "history.csv").read_text("utf-8").splitlines()]
    assert epochs == ["epoch", *(str(n) for n in range(1, config.epochs + 1)), *["average"] * config.ends_in_mean]
    said = "The network is the mean of the networks at these cycles' ends" in (
        shipped.folder / "MODEL_CARD.md"
    ).read_text("utf-8")
    assert said == config.average


def test_the_model_card_names_the_shipped_version(shipped: Artifact) -> None:
    card = (shipped.folder / "MODEL_CARD.md").read_text("utf-8")
    assert f"# {shipped.name} {shipped.version}\n" in card
    assert shipped.digest in card


def test_engines_are_listed_by_speed(shipped: Artifact) -> None:
    engines = json.loads((shipped.folder / "manifest.json").read_text("utf-8"))["engines"]
    assert [engine["name"] for engine in engines] == list(shipped.engines)
    speeds = [engine["images_per_second"] for engine in engines]
    assert speeds == sorted(speeds, reverse=True)
    assert all(engine["cold_start_s"] > 0 for engine in engines)


def test_the_served_variant_passed_variant_selection(shipped: Artifact) -> None:
    (lite,) = (
        engine
        for engine in json.loads((shipped.folder / "manifest.json").read_text("utf-8"))["engines"]
        if engine["name"] == "litert"
    )
    rows = re.findall(r"^\| (\S+?)(, [a-z ]+)? \| ([\d.]+)% \| (-?[\d.]+) \|", CARD.read_text("utf-8"), re.M)
    assert [name.strip("*") for name, *_ in rows] == list(VARIANTS)
    (served,) = (row for row in rows if row[1] == ", served")
    assert served[0] == f"**{lite['variant']}**"
    assert float(served[2]) >= 99.5 and float(served[3]) <= 0.5


def test_explanations_need_no_extra_model_file(shipped: Artifact) -> None:
    images = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    for name in shipped.engines:
        _, engine = load_engine(shipped, name)
        activations, scores = engine.activations(images), engine.score(images)
        engine.close()
        assert activations is not None and activations.shape[0] == 3 and activations.shape[3] == 10
        # The mean of a label's map is its logit, but for the bias.
        assert np.corrcoef(activations.mean(axis=(1, 2)).ravel(), np.log(scores).ravel())[0, 1] > 0.9


def test_the_drift_reference_is_of_this_model(shipped: Artifact, shared_data: Path) -> None:
    reference = read_reference(shipped.folder)
    assert tuple(reference.counts) == shipped.signature.labels
    images = as_inputs(idx.load("test", shared_data / "fashion-mnist").images[:2000], shipped.signature)
    _, engine = load_engine(shipped, "litert")
    clean, negative = (score_all(engine, seen) for seen in (images, 1 - images))
    engine.close()
    assert compare(reference, best_of(clean, shipped)).level == "none"
    assert compare(reference, best_of(negative, shipped)).level == "strong"


def test_the_alert_tells_drift_from_chance(shipped: Artifact, shared_data: Path, root: Path) -> None:
    """Any hundred of its own images lie well within Terraform's `score_drop`; the same images with noise far beyond."""
    alerts = (root / "infra" / "alerts.tf").read_text()
    (limit,) = re.findall(r"score_drop += ([\d.]+) ", alerts)
    usual = read_reference(shipped.folder).mean_scores
    images = as_inputs(idx.load("test", shared_data / "fashion-mnist").images[:2000], shipped.signature)
    noisy = np.clip(images + np.random.default_rng(0).normal(0, 0.16, images.shape), 0, 1).astype(np.float32)
    _, engine = load_engine(shipped, "litert")
    clean, spoilt = (best_of(score_all(engine, seen), shipped) for seen in (images, noisy))
    engine.close()
    drops = np.array([[(usual[best.label] or 0) - best.score for best in answers] for answers in (clean, spoilt)])
    hundreds = drops.reshape(2, -1, 100).mean(axis=2)
    assert hundreds[0].max() < float(limit) / 2 and hundreds[1].min() > float(limit) * 1.5


def best_of(scores: Scores, artifact: Artifact) -> list[Prediction]:
    return [rank(row, artifact.signature.labels, 1)[0] for row in scores]


def test_the_artifact_is_small_enough_to_be_cloned(shipped: Artifact) -> None:
    assert sum(path.stat().st_size for path in shipped.folder.rglob("*") if path.is_file()) < 10_000_000


def test_scores_are_probabilities(shipped: Artifact) -> None:
    _, engine = load_engine(shipped, "litert")
    scores = engine.score(np.random.default_rng(0).random((50, 28, 28, 1), np.float32))
    engine.close()
    assert scores.min() >= 0
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)
