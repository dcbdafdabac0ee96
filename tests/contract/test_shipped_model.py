"""The committed artifact is the trained model that its card describes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model.artifact import Artifact, load_engine, read_artifact
from model.preprocess import preprocess
from model.training import datasets
from model.training.config import CONFIGS, RECIPES, read_config
from model.training.evaluate import as_png, evaluate
from model.training.inputs import as_inputs, signature_of


@pytest.fixture(scope="module")
def shipped(root: Path) -> Artifact:
    return read_artifact(root / "model" / "artifacts" / "fashion-mnist")


def test_it_is_right_as_often_as_its_card_says(shipped: Artifact, shared_data: Path) -> None:
    evaluation = evaluate(shipped.folder, "litert", data=shared_data / "fashion-mnist")
    card = (shipped.folder / "MODEL_CARD.md").read_text("utf-8")
    assert evaluation.images == 10_000
    assert evaluation.accuracy >= 0.93
    assert f"**{evaluation.accuracy:.2%}** right" in card
    for label, share in evaluation.recall.items():
        assert share is not None
        assert f"| {label} | {share:.1%} |" in card


def test_a_dataset_image_passes_the_recipe_unchanged(shipped: Artifact, shared_data: Path) -> None:
    images = datasets.load("test", shared_data / "fashion-mnist").images[:200]
    trained_on = as_inputs(images, signature_of("fashion-mnist"))
    for image, expected in zip(images, trained_on, strict=True):
        assert np.array_equal(preprocess(as_png(image), shipped.signature)[0], expected)
        np.testing.assert_allclose(expected[..., 0], image / 255, atol=1e-7)


def test_the_recipe_is_the_one_in_the_training_room(shipped: Artifact) -> None:
    recipe = json.loads((RECIPES / "fashion-mnist.json").read_text("utf-8"))
    assert shipped.signature.preprocessing == recipe, "the recipe has changed: make export"


def test_it_is_the_shipped_config_trained_to_its_end(shipped: Artifact) -> None:
    training = shipped.folder / "training"
    config = read_config(training / "config.yaml")
    assert config == read_config(CONFIGS / "fashion-mnist.yaml")
    assert (shipped.name, shipped.version) == (config.name, config.version)
    epochs = [line.split(",")[0] for line in (training / "history.csv").read_text("utf-8").splitlines()]
    assert epochs == ["epoch", *(str(n) for n in range(1, config.epochs + 1)), *["average"] * config.average]
    said = "The network is the mean of these cycles' ends" in (shipped.folder / "MODEL_CARD.md").read_text("utf-8")
    assert said == config.average


def test_the_card_names_this_very_version(shipped: Artifact) -> None:
    card = (shipped.folder / "MODEL_CARD.md").read_text("utf-8")
    assert f"# {shipped.name} {shipped.version}\n" in card
    assert shipped.digest in card


def test_engines_stand_in_the_order_of_their_speed(shipped: Artifact) -> None:
    engines = json.loads((shipped.folder / "manifest.json").read_text("utf-8"))["engines"]
    assert [engine["name"] for engine in engines] == list(shipped.engines)
    speeds = [engine["images_per_second"] for engine in engines]
    assert speeds == sorted(speeds, reverse=True)
    assert all(engine["cold_start_s"] > 0 for engine in engines)


def test_it_is_small_enough_to_be_cloned(shipped: Artifact) -> None:
    assert sum(path.stat().st_size for path in shipped.folder.rglob("*") if path.is_file()) < 10_000_000


def test_its_scores_are_probabilities(shipped: Artifact) -> None:
    _, engine = load_engine(shipped, "litert")
    scores = engine.score(np.random.default_rng(0).random((50, 28, 28, 1), np.float32))
    engine.close()
    assert scores.min() >= 0
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)
