"""Transfer learning from a folder of photos: serving preprocesses a photo exactly like training."""

from __future__ import annotations

import csv
import errno
import importlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.__main__ import main  # noqa: E402
from model.artifact.load import load_engine  # noqa: E402
from model.drift import read_reference  # noqa: E402
from model.explain import explain  # noqa: E402
from model.preprocessing.recipe import preprocess  # noqa: E402
from model.training.data.folders import ImageFile  # noqa: E402
from model.training.errors import ConfigError, DatasetError, RunError  # noqa: E402
from model.training.export import variants  # noqa: E402
from model.training.fashion_mnist.config import CONFIGS  # noqa: E402
from model.training.importing import catalog  # noqa: E402
from model.training.transfer import backbone, train  # noqa: E402
from model.training.transfer.config import TransferConfig, read_transfer_config  # noqa: E402
from model.training.transfer.export import accuracy_of, export_run  # noqa: E402
from tests.fakes import UNMEASURED  # noqa: E402
from tests.networks import save_npz  # noqa: E402
from tests.samples import HEIC  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three colours of JPEGs, one of them rare, among files that are no images."""
    folder = tmp_path_factory.mktemp("data") / "colours"
    rng = np.random.default_rng(0)
    for column, (label, count) in enumerate({"blue": 20, "green": 40, "red": 40}.items()):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 100, (50, 70, 3))
            pixels[..., 2 - column] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.jpg", quality=90)
    for ending in ("jpg", "other"):  # those with the other ending are left out, the first two are skipped
        (folder / "red" / f"notes.{ending}").write_text("no image")
        (folder / "red" / f"phone.{ending}").write_bytes(HEIC)
    return folder


def config(data: Path, **changes: Any) -> TransferConfig:
    values = {"backbone": "MobileNet", "weights": "none", "alpha": 0.25, "size": 32, "epochs": 4, "batch_size": 16}
    return read_transfer_config(None, {**values, "fine_tune_epochs": 1, "rate": 0.03, "data": str(data), **changes})


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "colours"
    lively(out.with_suffix(".npz"))
    result = train.transfer(config(photos, weights=str(out.with_suffix(".npz"))), out)
    assert (result.training, result.validation, result.skipped) == (90, 10, 2)
    return out


def lively(path: Path) -> None:
    """Random weights so large (a third above He et al., 2015) that what comes out still tells images apart."""
    network = catalog.build(catalog.find("MobileNet"), "none", size=32, alpha=0.25, top=False)
    rng = np.random.default_rng(0)
    weights = {weight.path: np.array(weight) for weight in network.weights}
    for name, value in weights.items():
        if name.endswith("kernel"):
            inputs = np.prod(value.shape[:2] if "_dw_" in name else value.shape[:3])
            weights[name] = rng.normal(0, 1.35 * np.sqrt(2 / inputs), value.shape)
    save_npz(path, weights)


@pytest.mark.parametrize(
    "name", {each.pixels: name for name, each in catalog.catalog().items()}.values()
)  # one of each kind of pixels: test_catalog.py holds every architecture to its kind
def test_features_use_the_preprocessing_of_keras(name: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = keras.Input((32, 32, 3))
    tiny = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    monkeypatch.setattr(catalog, "build", lambda *_, **__: tiny)  # the architecture's numbers, not its layers
    network = backbone.build(config(photos, backbone=name, alpha=1.0, framing="squash"), ("a", "b"))
    seen = []

    def predict_on_batch(images: Any) -> Any:
        seen.append(images)
        return np.zeros((1, 3))

    monkeypatch.setattr(tiny, "predict_on_batch", predict_on_batch)
    path = photos / "red" / "0.jpg"
    backbone.features_of(network, [ImageFile(path, 0)], 8, {})
    with Image.open(path) as image:
        pixels = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0), np.float32)
    theirs = importlib.import_module(catalog.find(name).make.__module__).preprocess_input(pixels[None].copy())
    np.testing.assert_allclose(seen[0], theirs, rtol=1e-5, atol=2e-5)


def test_the_served_model_normalises_like_the_trained_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "measure_speeds", lambda targets: [UNMEASURED for _ in targets])
    artifact = export_run(run, tmp_path / "colours", ("litert",))
    assert (artifact.name, artifact.signature.labels) == ("colours", ("blue", "green", "red"))
    trained = keras.models.load_model(run / train.CHECKPOINT)
    with (run / train.VALIDATION).open() as file:
        paths = [Path(row["file"]) for row in csv.DictReader(file)]
    pixels = []
    for path in paths:
        with Image.open(path) as image:  # the middle: 0.875 of the shorter edge, 50 pixels
            box = (35 - 21.875, 25 - 21.875, 35 + 21.875, 25 + 21.875)
            pixels.append(np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR, box, reducing_gap=2.0)))
    images = np.stack(pixels).astype(np.float32)
    expected = trained.predict(keras.applications.mobilenet.preprocess_input(images.copy()), verbose=0)
    otherwise = trained.predict(images / 255, verbose=0)
    assert np.abs(expected - otherwise).max() > 0.1, "another normalisation would show"
    _, engine = load_engine(artifact)
    served = np.concatenate([engine.score(preprocess(path.read_bytes(), artifact.signature)) for path in paths])
    engine.close()
    np.testing.assert_allclose(served, expected, atol=1e-4)

    card = (artifact.folder / "MODEL_CARD.md").read_text()
    best = max(float(row["val_accuracy"]) for row in history(run)[3:])
    share, count = accuracy_of(artifact, run)
    assert share == pytest.approx(best) and count == 10
    assert f"**{share:.2%}** right on the 10 validation images" in card
    assert "| **float32**, served | 100.00% | 0.00 |" in card, "all are as fast, so it is the simplest"
    assert all(f"\n| {variant}" in card for variant in ("float16", "dynamic", "int8")), "and all were tried"
    assert "int8 was calibrated with 90 other images" in card
    assert read_reference(artifact.folder).images == 10


def test_a_trained_backbone_has_activation_maps(
    run: Path, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "measure_speeds", lambda targets: [UNMEASURED for _ in targets])
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / train.TRAINING).write_text("file,label\n/nowhere.jpg,red\n")
    artifact = export_run(copy, tmp_path / "colours", ("litert",))
    assert "There are no smaller variants" in (artifact.folder / "MODEL_CARD.md").read_text(), "its photos are gone"
    bias = np.array(keras.models.load_model(run / train.CHECKPOINT).weights[-1])
    prepared = preprocess((photos / "red" / "0.jpg").read_bytes(), artifact.signature)
    _, engine = load_engine(artifact)
    assert explain(engine, prepared, 2).method == "class_activation"
    maps = engine.activations(prepared)
    assert maps is not None
    odds = np.exp(maps.mean(axis=(1, 2)) + bias)
    np.testing.assert_allclose(odds / odds.sum(), engine.score(prepared), atol=1e-5)
    engine.close()


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_records_its_epochs_and_skipped_files(run: Path) -> None:
    assert [row["epoch"] for row in history(run)] == ["0", "1", "2", "3", "4"]
    assert float(history(run)[3]["loss"]) < float(history(run)[0]["loss"])
    with (run / "skipped.csv").open() as file:
        skipped = {Path(row["file"]).name: row["why"] for row in csv.DictReader(file)}
    assert set(skipped) == {"notes.jpg", "phone.jpg"}
    assert skipped["notes.jpg"].startswith("the bytes are not an image that can be read")
    assert skipped["phone.jpg"].startswith("the image is HEIC; allowed are")
    again = read_transfer_config(run / train.CONFIG, {})
    assert (again.backbone, again.name, again.alpha) == ("MobileNet", "colours", 0.25)


def test_a_rare_class_counts_as_much_as_the_others() -> None:
    photos = [ImageFile(Path(str(n)), label) for n, label in enumerate([0] * 10 + [1] * 30)]
    weights = train.class_weights(photos, 2)
    assert weights == pytest.approx({0: 2.0, 1: 2 / 3})
    assert sum(weights[photo.label] for photo in photos) == pytest.approx(len(photos))


def test_fine_tuning_changes_only_the_last_layers(photos: Path) -> None:
    network = backbone.build(config(photos), ("a", "b"))
    backbone.unfreeze(network, 7)
    learning = [layer for layer in network.whole.layers if layer.trainable_weights]
    assert [layer.name for layer in learning] == ["conv_dw_13", "conv_pw_13", "scores"]


def test_a_run_is_not_overwritten_and_an_interrupted_one_not_exported(run: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds a run already; choose another folder"):
        train.transfer(config(photos), run)
    (tmp_path / train.VALIDATION).write_text("file,label\n")
    with pytest.raises(RunError, match=r"holds no checkpoint\.keras: its training is unfinished; train again"):
        export_run(tmp_path)


@pytest.mark.parametrize("resume", [["--resume"], []])
def test_fashion_mnist_is_not_trained_in_the_folder_of_a_backbone(
    resume: list[str], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(run / train.CONFIG, tmp_path)  # a run that was interrupted before its first checkpoint
    for folder in (run, tmp_path):
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        assert main(["train", "--quick", *resume, "--out", str(folder)]) == 1
        assert "holds a run with a backbone, which cannot be resumed; choose another folder" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_class_of_unreadable_files_is_named(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (40, 40), "red").save(tmp_path / "pets" / label / f"{number}.png")
    for path in (tmp_path / "pets" / "dog").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DatasetError, match="the class 'dog' has no readable image to train on"):
        train.transfer(config(tmp_path / "pets"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_food101_config_is_ready() -> None:
    ready = read_transfer_config(CONFIGS / "transfer" / "food101-resnet50.yaml", {"data": "food-101/images"})
    assert (ready.backbone, ready.classes, ready.weights) == ("ResNet50", 50, "imagenet")
    assert catalog.find(ready.backbone).pixels == "caffe"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": "x"}, "backbone is missing; it must be a name of"),
        ({"backbone": "MobileNet"}, "data is missing; it must be a folder with a folder of images for each class"),
        (
            {"backbone": "MobileNet", "data": "x", "size": 16},
            "size is 16; it must be 0 or a whole number from 32 to 1024",
        ),
        (
            {"backbone": "MobileNet", "data": "x", "framing": "zoom"},
            "framing is 'zoom'; it must be one of: crop, squash",
        ),
    ],
)
def test_a_wrong_config_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_transfer_config(None, given)


def test_the_command_reports_why_it_fails(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    assert (
        main(["train", "--backbone", "MobileNet", "--data", str(tmp_path / "one"), "--out", str(tmp_path / "run")]) == 1
    )
    assert "holds one class, 'cat'; it must hold a folder of images" in capsys.readouterr().err
    command = ["train", "--backbone", "MobileNet", "--data", str(photos), "--weights", "none", "--size", "32"]
    assert main([*command, "--config", str(tmp_path)]) == 1
    assert "cannot be read: Is a directory" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 1
    assert "--resume and --quick are for the Fashion-MNIST network" in capsys.readouterr().err
    assert main(["train", "--epochs", "3", "--out", str(tmp_path / "run")]) == 1
    assert "model train: backbone is missing" in capsys.readouterr().err
    assert main(["train", "--backbone", "Mobile", "--data", str(photos), "--out", str(tmp_path / "run")]) == 1
    assert "the architecture is 'Mobile'; `python -m model catalog`" in capsys.readouterr().err


def test_a_full_disk_is_reported(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras.Model, "save", full)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "history.csv").write_text("epoch,loss\n7,1.0\n")
    with pytest.raises(RunError, match="run cannot be written: No space left on device; its training is unfinished"):
        train.transfer(config(photos, fine_tune_epochs=0), tmp_path / "run")
    assert [row["epoch"] for row in history(tmp_path / "run")] == ["0", "1", "2", "3"], "nothing of an earlier attempt"


def test_ctrl_c_ends_training_in_a_sentence(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "features_of", interrupt)
    command = ["train", "--backbone", "MobileNet", "--data", str(photos), "--out", str(tmp_path / "run")]
    assert main([*command, "--weights", "none", "--alpha", "0.25", "--size", "32"]) == 130
    assert capsys.readouterr().err.endswith("model train: interrupted\n")
    assert not (tmp_path / "run").exists()


def test_training_learns_real_photos(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The head alone, on a real backbone: at least 80 % of the photos that were held out."""
    weights = shared_data / "weights" / "mobilenet_v1_0.75_224_keras_fp32.npz"
    command = ["train", "--backbone", "MobileNet", "--alpha", "0.75", "--weights", str(weights), "--json"]
    command += ["--data", str(shared_data / "clothing"), "--out", str(tmp_path / "run"), "--fine-tune-epochs", "0"]
    assert main([*command, "--size", "160"]) == 0  # half the work of 224
    answer = json.loads(capsys.readouterr().out)
    assert (answer["training_images"], answer["validation_images"], answer["skipped"]) == (1000, 341, 0)
    assert answer["accuracy"] >= 0.80
