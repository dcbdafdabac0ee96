"""The average of the weights at the ends of a run's cycles, in tiny runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from model.training.data import idx
from model.training.errors import ExportError, RunError
from model.training.fashion_mnist.config import parse_config
from tests.lab.test_training_runs import raise_full
from tests.unit.test_training_config import TINY

# Keras' own: it saves TensorFlow variables in a way that NumPy 2 will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

CONFIG = parse_config(TINY | {"cycles": [{"epochs": 1}, {"epochs": 1}], "average": True})


@pytest.fixture(scope="module")
def before(data: Path, tensorflow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after its last epoch, before its mean."""
    from model.training.fashion_mnist import train as module

    def pull_the_plug(*given: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "average", pull_the_plug)
        module.train(CONFIG, out, data=data)
    return out


@pytest.fixture
def run(before: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(before, tmp_path / "run"))


def test_a_run_ends_with_the_average_of_its_cycles(run: Path, data: Path, tmp_path: Path) -> None:
    import keras

    from model.training.fashion_mnist import run_folder
    from model.training.fashion_mnist.export import export
    from model.training.fashion_mnist.train import train

    epochs = run_folder.load_history(run / "history.csv")
    assert [row["epoch"] for row in epochs] == ["1", "2"]
    with pytest.raises(ExportError, match="has 2 of 2 epochs, and has no average; continue with train"):
        export(run, tmp_path / "artifact", data)

    rows = train(CONFIG, run, resume=True, data=data)
    assert rows == run_folder.load_history(run / "history.csv")
    assert rows[:2] == epochs
    assert run_folder.finished(CONFIG, rows)
    assert run_folder.final_weights(run).name == "average.keras"

    names = "cycle-1.keras", "checkpoint.keras", "average.keras"
    first, last, mean = (keras.models.load_model(run / name, compile=False) for name in names)
    for one, other, both in zip(*(network.trainable_weights for network in (first, last, mean)), strict=True):
        assert not np.array_equal(one, other)
        np.testing.assert_allclose(both, (one.numpy() + other.numpy()) / 2, rtol=1e-5, atol=1e-7)

    training, validation = idx.split(idx.load("train", data), CONFIG.validation_images, CONFIG.seed)
    convolution, normalisation = mean.layers[1:3]
    seen = np.asarray(convolution(training.images[..., None] / np.float32(255)))
    np.testing.assert_allclose(normalisation.moving_mean, seen.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(normalisation.moving_variance, seen.var(axis=(0, 1, 2)), rtol=1e-4)
    assert normalisation.momentum == 0.99

    best = np.asarray(mean(validation.images[..., None] / np.float32(255))).argmax(axis=1)
    last = rows[-1]
    assert (last["epoch"], last["loss"], last["rate"]) == ("average", "", "")
    assert float(last["val_accuracy"]) == pytest.approx(np.mean(best == validation.labels))

    kept = (run / "average.keras").read_bytes()
    assert train(CONFIG, run, resume=True, data=data) == rows
    assert (run / "average.keras").read_bytes() == kept


def test_a_run_ends_with_a_mean_with_its_initial_weights(before: Path, data: Path, tmp_path: Path) -> None:
    import keras

    from model.training.fashion_mnist.run_folder import final_weights
    from model.training.fashion_mnist.train import train

    initial = before / "cycle-1.keras"
    changed = {"initial": str(initial), "initial_share": 0.25, "cycles": [{"epochs": 1}]}
    rows = train(parse_config(TINY | changed), tmp_path / "out", data=data)
    assert [row["epoch"] for row in rows] == ["1", "average"]
    assert final_weights(tmp_path / "out").name == "average.keras"
    paths = initial, tmp_path / "out" / "checkpoint.keras", tmp_path / "out" / "average.keras"
    first, last, mean = (keras.models.load_model(path, compile=False).trainable_weights for path in paths)
    for one, other, both in zip(first, last, mean, strict=True):
        np.testing.assert_allclose(both, 0.25 * one.numpy() + 0.75 * other.numpy(), rtol=1e-5, atol=1e-7)


def test_the_average_needs_every_cycle(run: Path, data: Path) -> None:
    from model.training.fashion_mnist.train import train

    (run / "cycle-1.keras").unlink()
    with pytest.raises(RunError, match=r"cycle-1\.keras is missing: the average needs it"):
        train(CONFIG, run, resume=True, data=data)


def test_a_full_disk_leaves_the_run_without_its_average(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model.training.fashion_mnist import run_folder, weight_averaging
    from model.training.fashion_mnist.train import train

    with monkeypatch.context() as patch:
        patch.setattr(weight_averaging, "write_history", raise_full)
        with pytest.raises(RunError, match=r"average\.keras cannot be written: No space left on device; free disk"):
            train(CONFIG, run, resume=True, data=data)
    assert not run_folder.finished(CONFIG, run_folder.load_history(run / "history.csv"))
    assert run_folder.finished(CONFIG, train(CONFIG, run, resume=True, data=data))


def test_batch_statistics_are_computed_again_for_the_average(tensorflow: None) -> None:
    import keras

    from model.training.fashion_mnist.weight_averaging import recompute_batch_norm

    network = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    network.layers[0].moving_mean.assign(np.full(3, 9, np.float32))
    values = np.random.default_rng(0).normal(2, 3, (1201, 3)).astype(np.float32)
    recompute_batch_norm(network, values)
    np.testing.assert_allclose(network.layers[0].moving_mean, values.mean(axis=0), rtol=1e-4)
