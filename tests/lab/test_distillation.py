"""Distillation: teachers that are artifacts, photographs in the batches, initial weights, calibrated scores."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from model.artifact.load import load_engine, read_artifact
from model.metrics import calibration
from model.preprocessing.recipe import preprocess
from model.training.data import idx
from model.training.data.idx import FASHION_MNIST_LABELS
from model.training.errors import RunError
from model.training.fashion_mnist.config import CONFIGS, parse_config, read_config
from model.training.fashion_mnist.inputs import as_inputs, signature_of
from model.training.fashion_mnist.model_card import Calibrated, Training, describe_model
from model.training.fashion_mnist.photos import FOLDER, RIGHT, load_photos
from model.training.fashion_mnist.teachers import Teachers
from model.training.fashion_mnist.temperature import calibration_error, divide_logits, fit_temperature
from tests.unit.test_training_config import TINY

# Keras' own: it saves TensorFlow variables in a way that NumPy 2 will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

TEACHERS = Path(__file__).resolve().parents[2] / "model" / "training" / "fashion_mnist" / "teachers"
SMALL, LARGE = str(TEACHERS / "strided-96"), str(TEACHERS / "pooled-128")
TAUGHT = TINY | {
    "teachers": [SMALL, LARGE],
    "photos": 8,
    "downsampling": "stride",
    "label_smoothing": 0.0,
    "cycles": [{"epochs": 2, "teacher": 0.75, "mixup": 0.5}],
}


def test_the_teachers_are_scored_as_they_are_served(shared_data: Path) -> None:
    signature = signature_of("fashion-mnist")
    images = as_inputs(idx.load("test", shared_data / "fashion-mnist").images[:50], signature)
    single = [load_engine(read_artifact(Path(folder)))[1].score(images) for folder in (SMALL, LARGE)]
    assert not np.array_equal(single[0], single[1])
    np.testing.assert_allclose(Teachers([SMALL, LARGE], signature).score(images), np.mean(single, axis=0), atol=1e-6)


def test_a_teacher_for_other_images_is_refused(tmp_path: Path) -> None:
    signature = signature_of("fashion-mnist")
    with pytest.raises(RunError, match=r"the teacher .*nowhere cannot be used: .*manifest\.json"):
        Teachers([str(tmp_path / "nowhere")], signature)
    other = type(signature)(28, 28, 1, "float32", ("cat", "dog"), signature.preprocessing)
    with pytest.raises(RunError, match=r"strided-96 cannot be used: its labels is .* must be .*dog"):
        Teachers([SMALL], other)


def test_a_batch_has_the_targets_of_its_teachers_and_of_its_photos(data: Path, tensorflow: None) -> None:
    from model.training.fashion_mnist.batches import Batches

    config, photos = parse_config(TAUGHT), load_photos()
    signature = signature_of("fashion-mnist")
    part = idx.load("train", data)
    teachers = Teachers([SMALL], signature)
    cycles = [[{"epochs": 1, "teacher": weight, "mixup": 0.5}] for weight in (0, 1)]
    plain, whole = (parse_config(TAUGHT | {"cycles": each}).cycles[0] for each in cycles)
    hard = Batches(part, config, plain, teachers, photos)
    soft = Batches(part, config, whole, teachers, photos)
    taught = Batches(part, config, config.cycles[0], teachers, photos)
    (images, labels), (same, answers), (_, targets) = hard[1], soft[1], taught[1]
    assert images.shape == (32 + 8, 28, 28, 1) and np.array_equal(images, same)
    np.testing.assert_allclose(answers[:32], teachers.score(images)[:32], atol=1e-6)
    np.testing.assert_allclose(targets[:32], 0.25 * labels[:32] + 0.75 * answers[:32], atol=1e-6)
    assert 5 < (labels[:32].max(axis=1) < 1).sum() < 27, "about half are mixed"
    for values in (labels, answers, targets):
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-3)
    # A photo's target is spread over its right labels only, evenly without teachers.
    allowed = labels[32:] > 0
    assert set(allowed.sum(axis=1)) <= {1, 3} and not answers[32:][~allowed].any()
    assert set(np.unique(labels[32:])) <= {0, np.float32(1 / 3), 1}
    again = Batches(part, config, config.cycles[0], teachers, photos)[1]
    assert np.array_equal(again[0], images) and np.array_equal(again[1], targets)


def test_targets_of_photos_are_in_proportion_to_the_teachers(tensorflow: None) -> None:
    from model.training.fashion_mnist.batches import among

    right = np.array([[True, True, False], [False, False, True]])
    answers = np.array([[0.2, 0.6, 0.2], [0.5, 0.5, 0]], np.float32)
    assert among(right, answers) == pytest.approx(np.array([[0.25, 0.75, 0], [0, 0, 1]]), abs=1e-4)


def test_a_run_learns_from_teachers_and_initial_weights(data: Path, tmp_path: Path, tensorflow: None) -> None:
    from model.training.fashion_mnist.run_folder import CHECKPOINT
    from model.training.fashion_mnist.train import train

    rows = train(parse_config(TAUGHT), tmp_path / "first", data=data)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    start = str(tmp_path / "first" / CHECKPOINT)
    still = [{"epochs": 1, "peak_rate": 1e-6}]
    more = train(parse_config(TAUGHT | {"initial": start, "cycles": still}), tmp_path / "second", data=data)
    assert float(more[0]["val_loss"]) == pytest.approx(float(rows[-1]["val_loss"]), rel=0.2)
    for initial in (str(tmp_path / "nowhere.keras"), start):
        config = parse_config(TAUGHT | {"initial": initial, "widths": [2, 3, 5]})
        with pytest.raises(RunError, match=r"initial is '.*keras', whose weights cannot be used: "):
            train(config, tmp_path / Path(initial).stem, data=data)


def test_strides_take_the_place_of_pooling(tensorflow: None) -> None:
    from model.training.fashion_mnist.network import build

    strided, pooled = (build((2, 3, 4), 0.0, 10, downsampling=name) for name in ("stride", "pool"))
    assert [layer.output.shape[1] for layer in strided.layers if layer.name.startswith("add")] == [14, 7]
    assert [layer.output.shape[1] for layer in pooled.layers if layer.name.startswith("add")] == [14, 7]
    assert [weights.shape for weights in strided.get_weights()] == [weights.shape for weights in pooled.get_weights()]
    assert not [layer for layer in strided.layers if "pooling2d" in layer.name and "global" not in layer.name]


def test_the_temperature_is_found_and_calibrates(tensorflow: None) -> None:
    import keras

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    sharp = chances**2 / (chances**2).sum(axis=1, keepdims=True)  # overconfident: the logits are doubled
    temperature = fit_temperature(sharp.astype(np.float32), truth)
    assert temperature == pytest.approx(2, rel=0.05)
    before, after = (calibration_error(sharp, truth, each) for each in (1.0, temperature))
    assert before > 0.1 and after < 0.03
    assert before == pytest.approx(
        calibration(sharp.max(axis=1).astype(np.float32), sharp.argmax(axis=1) == truth).error
    )

    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5, activation="softmax")])
    inputs = rng.random((9, 3)).astype(np.float32)
    scores = np.log(network.predict(inputs, verbose=0))
    divide_logits(network, 2.0)
    ratio = np.log(network.predict(inputs, verbose=0))
    np.testing.assert_allclose(np.diff(ratio, axis=1), np.diff(scores, axis=1) / 2, atol=1e-4)


def test_the_card_names_teachers_photos_and_calibration() -> None:
    calibrated = Calibrated(1.25, 0.0311, 0.0102, 0.0123)
    config = parse_config(TAUGHT | {"notes": "Trained on a machine with two cores."})
    card = describe_model(Training(config, 2, calibrated), 258650, ["cat", "dog"], np.diag([3, 4]))
    digest = read_artifact(Path(SMALL)).digest
    said = " ".join(card.split())
    assert f"the mean of strided-96 (`{digest[:19]}`), pooled-128 (`" in said
    assert "8 photographs are added to each batch. They are drawn from 700 " in said and "(CC0)" in said
    assert "A temperature of 1.25, fitted on the validation images" in said
    assert "is 3.11% before and 1.02% after. That of the artifact on the test images is 1.23%." in said
    assert "Trained on a machine with two cores." in said
    plain = describe_model(Training(parse_config(TINY), 3, calibrated), 9, ["cat", "dog"], np.diag([3, 4]))
    assert "No photograph was used for training." in plain and "predictions for the augmented images" not in plain


def test_the_crops_are_what_the_recipe_makes_of_the_photos(shared_data: Path) -> None:
    photos = load_photos()
    assert len(photos) == 700 and photos.right.any(axis=1).all()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000
    assert "CC0" in (FOLDER / "LICENSE").read_text("utf-8")
    assert {label for right in RIGHT.values() for label in right} <= set(FASHION_MNIST_LABELS)
    classes = idx.read_idx(gzip.decompress((FOLDER / "classes-idx1-ubyte.gz").read_bytes()))
    signature = signature_of("fashion-mnist")
    for number, name in enumerate(RIGHT):
        files = sorted((shared_data / "clothing" / "train" / name).iterdir())
        (rows,) = np.nonzero(classes == number)
        assert len(files) == len(rows)
        for row, path in list(zip(rows, files, strict=True))[::33]:
            made = preprocess(path.read_bytes(), signature)[0, ..., 0]
            assert np.array_equal(np.rint(255 * made), photos.images[row]), path.name


def test_the_shipped_run_can_be_repeated() -> None:
    config = read_config(CONFIGS / "fashion-mnist.yaml")
    root = TEACHERS.parents[3]
    assert config.photos and (root / config.initial).is_file()
    assert [read_artifact(root / folder).engines for folder in config.teachers] == [("litert",)] * len(config.teachers)
