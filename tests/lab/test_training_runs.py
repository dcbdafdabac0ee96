"""Training runs of several cycles, with early stopping, full disks and TensorBoard, in tiny form."""

from __future__ import annotations

import errno
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.__main__ import main
from model.training.errors import RunError
from model.training.fashion_mnist.config import parse_config
from model.training.fashion_mnist.photo_augmentation import as_photo
from tests.conftest import absent
from tests.unit.test_training_config import TINY

# Keras' own: it saves TensorFlow variables in a way that NumPy 2 will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

TWO_CYCLES = parse_config(TINY | {"cycles": [{"epochs": 1}, {"epochs": 2, "photolike": 0.5, "mixup": 0.5}]})


class Full(OSError):
    """The error of a full disk."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(errno.ENOSPC, "No space left on device")


def raise_full(*given: object, **named: object) -> None:
    raise Full


@pytest.fixture(scope="module")
def modules(tensorflow: None) -> Any:
    from model.training.fashion_mnist import batches, run_folder, train

    return train, run_folder, batches


def test_photolike_images_keep_the_garment_and_lose_its_greys() -> None:
    images = np.zeros((100, 28, 28), np.uint8)
    images[:, 6:22, 8:20] = np.random.default_rng(1).choice([60, 250], (100, 16, 12))
    photos = as_photo(images, np.random.default_rng(0))
    assert np.array_equal(photos, as_photo(images, np.random.default_rng(0)))
    outside, inside = photos == 0, photos > 0
    assert (photos[inside] >= 40).all()
    assert photos[inside].std() < 0.7 * images[images > 0].std()
    means = photos.sum(axis=(1, 2)) / inside.sum(axis=(1, 2))
    assert means.min() > 80
    assert means.max() < 160
    areas = inside.sum(axis=(1, 2))
    assert 12 * 16 * 0.6 < areas.min() < 12 * 16 < areas.max() < 12 * 16 * 2
    assert outside[:, 0].mean() > 0.95
    assert not as_photo(np.zeros((2, 28, 28), np.uint8), np.random.default_rng(0)).any()


def test_each_cycle_rises_and_falls(data: Path, tmp_path: Path, modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train, run_folder, _ = modules
    interrupted = tmp_path / "interrupted"

    def pull_the_plug(self: object, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_folder.EpochRecorder, "on_epoch_begin", pull_the_plug)
        train.train(TWO_CYCLES, interrupted, data=data)
    resumed = train.train(TWO_CYCLES, interrupted, resume=True, data=data)
    straight = train.train(TWO_CYCLES, tmp_path / "straight", data=data)
    assert [row["epoch"] for row in resumed] == ["1", "2", "3"]
    for column in ("loss", "val_loss", "rate"):
        expected = [float(row[column]) for row in straight]
        assert [float(row[column]) for row in resumed] == pytest.approx(expected, rel=1e-3), column
    rates = [float(row["rate"]) for row in straight]
    assert rates[0] < 0.05 < rates[1]
    assert rates[2] < 0.05
    with Image.open(interrupted / run_folder.PLOT) as plot:
        assert (plot.format, plot.size) == ("PNG", (900, 600))


def test_targets_are_smooth(modules: Any) -> None:
    targets = modules[2].one_hot(np.array([3, 0]), 0.1)
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(targets[0, [3, 4]], [0.91, 0.01], rtol=1e-5)


def test_a_run_ends_with_its_patience_and_keeps_its_best_epoch(
    data: Path, tmp_path: Path, modules: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, run_folder, _ = modules
    # A rate of next to nothing: no epoch after the first is better.
    config = parse_config(TINY | {"cycles": [{"epochs": 9, "peak_rate": 1e-6}], "patience": 2})
    rows = train.train(config, tmp_path, data=data)
    best = max(range(len(rows)), key=lambda n: float(rows[n]["val_accuracy"]))
    assert len(rows) == best + 3 < 9
    assert run_folder.finished(config, rows)
    assert not run_folder.finished(config, rows[:-1])
    assert run_folder.final_weights(tmp_path).name == "best.keras"
    kept, last = ((tmp_path / name).read_bytes() for name in ("best.keras", "checkpoint.keras"))
    assert kept != last
    assert train.train(config, tmp_path, resume=True, data=data) == rows


def test_a_full_disk_is_reported_and_leaves_the_run_unchanged(
    data: Path, tmp_path: Path, modules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, run_folder, _ = modules
    config = parse_config(TINY | {"cycles": [{"epochs": 2}]})
    draw = run_folder.draw
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "draw", lambda rows, path: draw(rows, path) if len(rows) < 2 else raise_full())
        with pytest.raises(RunError, match=r"cannot be written after epoch 2: No space left on device; .*--resume"):
            train.train(config, tmp_path / "run", data=data)
    assert len(run_folder.load_history(tmp_path / "run" / "history.csv")) == 1
    assert len(train.train(config, tmp_path / "run", resume=True, data=data)) == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/run cannot be written: Not a directory"):
        train.train(config, tmp_path / "file" / "run", data=data)


def test_ctrl_c_prints_how_to_resume(
    data: Path, tmp_path: Path, modules: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run_folder, _ = modules
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fashion-mnist").symlink_to(data)
    monkeypatch.setenv("SHARED", str(tmp_path))
    (tmp_path / "tiny.yaml").write_text(TWO_CYCLES.to_yaml())

    def press(self: object, epoch: int, logs: object = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_folder.EpochRecorder, "on_epoch_begin", press)
    out = tmp_path / "run"
    assert main(["train", "--config", str(tmp_path / "tiny.yaml"), "--out", str(out)]) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert "training on " in said.err
    assert said.err.endswith(f"{out} keeps 1 of 3 epochs; continue with --resume\nmodel train: interrupted\n")


def test_tensorboard_is_written_on_request(
    data: Path, tmp_path: Path, modules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _, _ = modules
    config = parse_config(TINY | {"cycles": [{"epochs": 1}]})
    with monkeypatch.context() as patch:
        patch.setattr(train.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(RunError, match="tensorboard is not installed: pip install tensorboard"):
            train.train(config, tmp_path / "without", data=data, tensorboard=True)
    if importlib.util.find_spec("tensorboard") is None:
        absent("no TensorBoard: pip install tensorboard")
    train.train(config, tmp_path / "with", data=data, tensorboard=True)
    assert {path.parent.name for path in tmp_path.rglob("events.out.tfevents.*")} == {"train", "validation"}
