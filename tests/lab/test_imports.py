"""Imported models of every source format are served with their original scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from model.artifact.load import load_engine  # noqa: E402
from model.predictor import Predictor  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model  # noqa: E402
from tests.conftest import absent  # noqa: E402
from tests.networks import as_saved_model, network  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
    pytest.mark.usefixtures("unmeasured"),
]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    return tmp_path / "labels.txt"


@pytest.fixture(scope="module")
def user_model() -> Any:
    """A network like a user's: batch normalisation, a branch, and trained weights."""
    keras.utils.set_random_seed(2)
    image = keras.Input((20, 16, 3))
    x = layers.BatchNormalization()(layers.Conv2D(12, 3, padding="same", activation="relu")(image))
    x = layers.Concatenate()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    made = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    photos, colour = photos_of(300)
    made.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    made.fit(photos / 127.5 - 1, colour, epochs=10, verbose=0)
    return made


def photos_of(count: int) -> tuple[Any, Any]:
    """Noise in which one colour is strong, and which."""
    rng = np.random.default_rng(3)
    photos, colour = rng.uniform(0, 160, (count, 20, 16, 3)), rng.integers(0, 3, count)
    photos[np.arange(count), :, :, colour] += rng.uniform(0, 95, (count, 1, 1))
    return photos.astype(np.float32), colour


def test_a_users_model_scores_as_in_tensorflow_on_a_thousand_images(
    user_model: Any, tmp_path: Path, labels: Path
) -> None:
    user_model.save(tmp_path / "flowers.keras")
    order = ImportOptions(str(tmp_path / "flowers.keras"), labels=labels, pixels="tf", framing="squash")
    artifact = import_model(order, tmp_path / "out")
    assert (artifact.name, set(artifact.engines)) == ("flowers", {"litert", "savedmodel"})
    images = photos_of(1000)[0].astype(np.uint8)
    expected = user_model.predict(images / np.float32(127.5) - 1, verbose=0)
    assert (np.bincount(expected.argmax(axis=1), minlength=3) > 100).all(), "it tells them apart"
    files = [png(image) for image in images]
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        predictor = Predictor(engine)  # all that the worker does with an image's bytes
        answers = [{each.label: each.score for each in predictor.predict(predictor.prepare(file), 3)} for file in files]
        engine.close()
        scores = [[answer[label] for label in artifact.signature.labels] for answer in answers]
        np.testing.assert_allclose(scores, expected, atol=6e-5)  # they are rounded to four decimals


def png(image: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def as_h5(path: Path, made: Any) -> Path:
    made.save(path / "made.h5")
    return path / "made.h5"


def as_lite(path: Path, made: Any) -> Path:
    tflite = tf.lite.TFLiteConverter.from_saved_model(str(as_saved_model(path, made))).convert()
    (path / "made.tflite").write_bytes(tflite)
    return path / "made.tflite"


def as_whole_numbers(path: Path, made: Any) -> Path:
    """Quantised, int8 in and out, for pixels -1..1."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(as_saved_model(path, made)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None] / 127.5 - 1] for image in photos_of(100)[0])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (path / "made.tflite").write_bytes(converter.convert())
    return path / "made.tflite"


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")
@pytest.mark.parametrize(
    ("form", "pixels", "tolerance"),
    [(as_h5, "tf", 1e-5), (as_saved_model, "tf", 1e-5), (as_lite, "tf", 1e-5), (as_whole_numbers, None, 0.05)],
    ids=["h5", "SavedModel", "LiteRT", "LiteRT in whole numbers"],
)
def test_every_source_format_scores_like_the_original(
    form: Callable[[Path, Any], Path],
    pixels: str | None,
    tolerance: float,
    user_model: Any,
    tmp_path: Path,
    labels: Path,
) -> None:
    source = form(tmp_path, user_model)
    artifact = import_model(ImportOptions(str(source), labels=labels, pixels=pixels), tmp_path / "out")
    images = photos_of(100)[0] / 127.5 - 1
    expected = user_model.predict(images, verbose=0)
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(images), expected, atol=tolerance)
        engine.close()
    if form is as_whole_numbers:
        *_, scale = artifact.signature.preprocessing["steps"]
        assert [scale["offset"], 255 * scale["factor"] + scale["offset"]] == pytest.approx([-1, 1], abs=0.02)


def test_unspecified_input_sizes_are_filled_in(tmp_path: Path, labels: Path) -> None:
    any_size = network(layers.Rescaling(1 / 255), shape=(None, None, 3), activation=None)
    any_size.save(tmp_path / "open.keras")
    order = ImportOptions(str(tmp_path / "open.keras"), labels=labels, size=24, outputs="logits", engines=("litert",))
    artifact = import_model(order, tmp_path / "out")
    assert (artifact.signature.height, artifact.engines) == (24, ("litert",))
    assert not (artifact.folder / "saved_model").exists()
    assert artifact.signature.preprocessing["steps"][-1] == {"op": "scale", "factor": 1.0, "offset": 0.0}
    assert (
        "Its outputs are logits; a softmax makes them probabilities" in (artifact.folder / "MODEL_CARD.md").read_text()
    )
    images = np.random.default_rng(0).uniform(0, 255, (5, 24, 24, 3)).astype(np.float32)
    _, engine = load_engine(artifact)
    expected = keras.ops.softmax(any_size.predict(images, verbose=0))
    np.testing.assert_allclose(engine.score(images), expected, atol=1e-5)


def test_a_single_sigmoid_score_becomes_two_labels(tmp_path: Path) -> None:
    made = network(outputs=1, activation="sigmoid")
    made.save(tmp_path / "cats.keras")
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    order = ImportOptions(str(tmp_path / "cats.keras"), labels=tmp_path / "two.txt", pixels="unit", engines=("litert",))
    _, engine = load_engine(import_model(order, tmp_path / "out"))
    images = np.random.default_rng(0).random((5, 20, 16, 3), np.float32)
    dog = made.predict(images, verbose=0)
    np.testing.assert_allclose(engine.score(images), np.concatenate([1 - dog, dog], axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("MobileNet", {"alpha": 0.75, "weights": "mobilenet_v1_0.75_224_keras_fp32.npz", "engines": ("litert",)}),
        ("mobilenet_v2_1.0_224_quant.tflite", {}),
        ("tf2_mobilenet_v2_1.0_224_ptq.tflite", {}),
    ],
    ids=["MobileNet v1", "MobileNet v2, quantised in training", "MobileNet v2, quantised afterwards"],
)
def test_real_weights_score_correctly_after_import(
    source: str, options: dict[str, Any], tmp_path: Path, shared_data: Path
) -> None:
    weights = shared_data / "weights"
    if not weights.is_dir():
        absent(f"no weights at {weights}")
    if "weights" in options:
        options = options | {"weights": str(weights / options["weights"])}
    elif source.endswith(".tflite"):
        source = str(weights / source)
    artifact = import_model(ImportOptions(source, **options), tmp_path / "out")
    _, engine = load_engine(artifact)
    predictor = Predictor(engine)
    samples = shared_data / "imagenet-samples"
    index = json.loads((samples / "imagenet_class_index.json").read_text())
    column = {synset: int(number) for number, (synset, _) in index.items()}
    labels = artifact.signature.labels[-1000:]
    assert len(artifact.signature.labels) == 1000 or artifact.signature.labels[0] == "background"
    right = {}
    for path in sorted(samples.glob("*.JPEG")):
        best = predictor.predict(predictor.prepare(path.read_bytes()), 1)[0].label
        right[path.name] = best == labels[column[path.name.split("_")[0]]]
    engine.close()
    assert len(right) >= 200
    assert right["n02111889_Samoyed.JPEG"] or source == "MobileNet", (
        "Angora is the narrow one's first, Samoyed its second"
    )
    assert sum(right.values()) / len(right) >= 0.80
