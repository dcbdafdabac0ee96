"""Data and augmentation; then tiny training runs: interrupted, resumed and exported."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from model.artifact.load import load_engine, read_artifact
from model.drift import read_reference
from model.training.data import idx as dataset
from model.training.errors import DatasetError, ExportError, RunError
from model.training.fashion_mnist.augment import augment
from model.training.fashion_mnist.config import parse_config
from tests.lab.conftest import idx
from tests.unit.test_training_config import TINY

SHIPPED = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist"

IMAGES = np.random.default_rng(0).random((5, 28, 28, 1), np.float32)

# Keras' own: it saves TensorFlow variables in a way that NumPy 2 will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def test_the_data_is_read_and_split_the_same_way_every_time(data: Path) -> None:
    whole = dataset.load("train", data)
    assert whole.images.shape == (240, 28, 28)
    training, validation = dataset.split(whole, 40, seed=7)
    again, _ = dataset.split(whole, 40, seed=7)
    other, _ = dataset.split(whole, 40, seed=8)
    assert (len(training), len(validation)) == (200, 40)
    assert np.array_equal(training.images, again.images)
    assert not np.array_equal(training.images, other.images)
    rows = {image.tobytes() for image in whole.images}
    assert {image.tobytes() for part in (training, validation) for image in part.images} == rows


def test_altered_data_is_refused(data: Path, tmp_path: Path) -> None:
    for path in data.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"other")
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte\.gz is not the published file"):
        dataset.load("test", tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte\.gz is missing"):
        dataset.load("test", tmp_path)


@pytest.mark.parametrize("damaged", [b"", b"\x00\x00\x0d\x01\x00\x00\x00\x00", idx(np.zeros(4, np.uint8))[:-1]])
def test_invalid_idx_files_are_refused(damaged: bytes) -> None:
    with pytest.raises(DatasetError):
        dataset.read_idx(damaged)


def test_augmentation_moves_mirrors_and_cuts_each_image_on_its_own() -> None:
    images = np.zeros((200, 28, 28), np.uint8)
    images[:, 10:14, 5:8] = 200
    assert np.array_equal(augment(images, np.random.default_rng(0), 0, False, 0), images)

    moved = augment(images, np.random.default_rng(0), 3, False, 0)
    tops, lefts = ((moved.max(axis=axis) > 0).argmax(axis=1) for axis in (2, 1))
    assert set(tops) == set(range(7, 14))
    assert set(lefts) == set(range(2, 9))
    assert (moved.sum(axis=(1, 2)) == images[0].sum()).all()

    mirrored = augment(images, np.random.default_rng(0), 0, True, 0)
    flipped = (mirrored == images[:, :, ::-1]).all(axis=(1, 2))
    assert 60 < flipped.sum() < 140
    assert (mirrored[~flipped] == images[~flipped]).all()

    cut = augment(np.full_like(images, 9), np.random.default_rng(0), 0, False, 10)
    holes = (cut == 0).sum(axis=(1, 2))
    assert holes.max() == 100
    assert holes.min() >= 25


@pytest.fixture(scope="module")
def run(data: Path, tensorflow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny finished run."""
    from model.training.fashion_mnist.train import train

    out = tmp_path_factory.mktemp("run")
    rows = train(parse_config(TINY), out, data=data)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    return out


def test_a_run_that_was_interrupted_ends_where_it_would_have(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model.training.fashion_mnist import train as module
    from model.training.fashion_mnist.run_folder import HISTORY, EpochRecorder, load_history

    config = parse_config(TINY)

    def pull_the_plug(self: object, epoch: int, logs: object = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EpochRecorder, "on_epoch_begin", pull_the_plug)
        module.train(config, tmp_path, data=data)
    with pytest.raises(RunError, match=r"holds a run already; continue it \(--resume\)"):
        module.train(config, tmp_path, data=data)
    with pytest.raises(RunError, match="differs from the given config"):
        module.train(parse_config(TINY | {"seed": 1}), tmp_path, resume=True, data=data)
    resumed = module.train(config, tmp_path, resume=True, data=data)

    straight = load_history(run / HISTORY)
    assert load_history(tmp_path / HISTORY) == resumed
    assert [row["epoch"] for row in resumed] == ["1", "2", "3"]
    for column in ("loss", "val_loss", "rate"):
        expected = [float(row[column]) for row in straight]
        assert [float(row[column]) for row in resumed] == pytest.approx(expected, rel=1e-3), column


def test_initial_weights_depend_only_on_the_seed(tensorflow: None) -> None:
    from model.training.fashion_mnist.network import build

    begun = []
    for seed, drawn in ((3, 1), (3, 2), (4, 1)):
        random.seed(drawn)
        begun.append(np.concatenate([each.ravel() for each in build((2, 2, 2), 0.0, 3, seed=seed).get_weights()]))
    assert np.array_equal(begun[0], begun[1])
    assert not np.array_equal(begun[0], begun[2])


def test_the_rate_rises_to_its_peak_and_falls_back(tensorflow: None) -> None:
    from model.training.fashion_mnist.train import one_cycle

    rates = [one_cycle(step, 99, 0.2, 0.2) for step in range(99)]
    assert rates[19] == pytest.approx(0.2)
    assert max(rates) == rates[19]
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.0025)
    assert one_cycle(0, 9, 0.2, 0.0) == pytest.approx(0.18)


def test_too_little_data_is_refused(data: Path, tmp_path: Path, tensorflow: None) -> None:
    from model.training.fashion_mnist.train import train

    with pytest.raises(RunError, match="train_images is 210 and validation_images 40; the training split holds 240"):
        train(parse_config(TINY | {"train_images": 210}), tmp_path, data=data)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    """Speeds that need no measuring: SavedModel is the fastest here, then float16."""
    from model.training.export import variants
    from model.training.export.benchmark import Speed, Target

    def speed(target: Target) -> Speed:
        rate = {"saved_model": 9.0, "float16.tflite": 4.0}.get(target.model.name, 2.0)
        rates = {(threads, batch): rate for threads in (1, 2) for batch in (1, 8, 32)}
        return Speed(rates, 0.5, 50_000_000, (rate, rate))

    monkeypatch.setattr(variants, "measure_speeds", lambda targets: [speed(target) for target in targets])


def test_a_run_becomes_an_artifact(run: Path, data: Path, tmp_path: Path, unhurried: None) -> None:
    import keras

    from model.training.fashion_mnist.export import export

    artifact = export(run, tmp_path / "artifact", data)
    assert (artifact.name, artifact.version, artifact.engines) == ("tiny", "0.0.1", ("savedmodel", "litert"))
    assert artifact.signature.labels == dataset.FASHION_MNIST_LABELS
    card = (artifact.folder / "MODEL_CARD.md").read_text()
    assert artifact.digest in card
    temperature = float(re.findall(r"A temperature of ([\d.]+), fitted on the validation images", card)[0])
    trained = keras.models.load_model(artifact.folder / "training" / "checkpoint.keras", compile=False)
    logits = np.log(trained.predict(IMAGES, verbose=0)) / temperature
    served = load_engine(artifact, "savedmodel")[1].score(IMAGES)
    np.testing.assert_allclose(served, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=0.01)
    assert "| **float16**, served | " in card
    assert all(f"| {variant}" in card for variant in ("float32", "dynamic", "int8"))
    manifest = json.loads((artifact.folder / "manifest.json").read_text())
    assert manifest["engines"][1]["variant"] == "float16"
    assert manifest["parameters"] > 500
    assert read_reference(artifact.folder).images == 40
    _, engine = load_engine(artifact, "litert")
    assert engine.score(np.zeros((3, 28, 28, 1), np.float32)).shape == (3, 10)

    again = export(artifact.folder / "training", tmp_path / "again", data)
    assert (again.folder / "labels.txt").read_bytes() == (artifact.folder / "labels.txt").read_bytes()
    assert np.array_equal(load_engine(again, "litert")[1].score(IMAGES), engine.score(IMAGES))


def test_an_inaccurate_artifact_is_not_kept(
    run: Path, data: Path, tmp_path: Path, unhurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model.training.export import variants
    from model.training.fashion_mnist.export import export

    standing = Path(shutil.copytree(SHIPPED, tmp_path / "artifact"))
    before = read_artifact(standing).digest
    monkeypatch.setattr(variants, "score_all", lambda engine, images: np.full((len(images), 10), np.nan, np.float32))
    with pytest.raises(ExportError, match="litert does not score as the model does: another label on"):
        export(run, standing, data)
    assert read_artifact(standing).digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_an_unfinished_run_is_not_exported(run: Path, data: Path, tmp_path: Path) -> None:
    from model.training.fashion_mnist.export import export

    with pytest.raises(ExportError, match=r"holds no checkpoint\.keras; train first"):
        export(tmp_path, tmp_path / "artifact", data)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(ExportError, match="has 1 of 3 epochs; continue with train --resume"):
        export(tmp_path / "run", tmp_path / "artifact", data)
