"""Features of both engines of TensorFlow's models: what the last layer of the very network takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
from keras import layers  # noqa: E402

from model.artifact.load import ENGINES, load_engine, open_engine, read_artifact  # noqa: E402
from model.engines.base import MAX_FEATURES, Signature  # noqa: E402
from model.training.export.convert import convert  # noqa: E402
from model.training.export.selection import VARIANTS  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model  # noqa: E402
from model.training.importing.keras_source import KerasSource  # noqa: E402
from tests.conftest import absent  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated"),
    pytest.mark.usefixtures("unmeasured"),
]


def pooled(image: Any) -> Any:
    x = layers.Conv2D(6, 3, activation="relu")(image)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D(name="features")(x))
    return layers.Dense(3, activation="softmax")(x)


def one_pixel(image: Any) -> Any:
    x = layers.Conv2D(6, 3, activation="relu")(image)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="features")(x)
    return layers.Softmax()(layers.Flatten()(layers.Conv2D(3, 1)(x)))


def hidden(image: Any) -> Any:
    x = layers.Dense(7, activation="relu", name="features")(layers.Flatten()(image))
    return layers.Dense(3, activation="sigmoid")(x)


def wide(image: Any) -> Any:
    assert MAX_FEATURES < 12 * 10 * 40
    return layers.Dense(3, activation="softmax")(layers.Flatten()(layers.Conv2D(40, 1, activation="relu")(image)))


def no_layer(image: Any) -> Any:
    return layers.Softmax()(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, activation="relu")(image)))


@pytest.mark.parametrize("body", [pooled, one_pixel, hidden, wide, no_layer])
def test_features_are_those_of_the_network(body: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    image = keras.Input((12, 10, 3))
    made = keras.Model(image, body(image))
    made.save(tmp_path / "made.keras")
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    artifact = import_model(
        ImportOptions(str(tmp_path / "made.keras"), labels=tmp_path / "labels.txt", pixels="unit"), tmp_path / "out"
    )
    images = np.random.default_rng(0).random((5, 12, 10, 3)).astype(np.float32)
    assert set(artifact.engines) == {"litert", "savedmodel"}
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        features = engine.features(images)
        if body in (wide, no_layer):
            assert features is None
        else:
            expected = keras.Model(image, made.get_layer("features").output).predict(images, verbose=0)
            assert features is not None
            np.testing.assert_allclose(features, expected.reshape(5, -1), atol=1e-5)
            assert np.ptp(expected, axis=0).max() > 1e-3, "they depend on the image"
        engine.close()


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_has_features(variant: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    image = keras.Input((12, 10, 3))
    made = keras.Model(image, pooled(image))
    endpoints = KerasSource(made, "made").write(tmp_path)
    images = np.random.default_rng(0).random((32, 12, 10, 3)).astype(np.float32)
    assert endpoints
    (tmp_path / "made.tflite").write_bytes(convert(tmp_path / ENGINES["savedmodel"].path, endpoints, variant, images))
    engine = open_engine("litert", tmp_path / "made.tflite", Signature(12, 10, 3, "float32", ("a", "b", "c"), {}))
    features = engine.features(images)
    engine.close()
    assert features is not None
    expected = keras.Model(image, made.get_layer("features").output).predict(images, verbose=0)
    np.testing.assert_allclose(features, expected, atol=0.03 * np.abs(expected).max())


def test_both_engines_of_the_shipped_artifact_have_the_same_features(root: Path) -> None:
    artifact = read_artifact(root / "model" / "artifacts" / "fashion-mnist")
    shape = artifact.signature.height, artifact.signature.width, artifact.signature.channels
    images = np.random.default_rng(0).random((8, *shape)).astype(np.float32)
    found = []
    for name in ("litert", "savedmodel"):
        _, engine = load_engine(artifact, name)
        features = engine.features(images)
        assert features is not None and features.shape == (8, 96)
        found.append(features / np.linalg.norm(features, axis=1, keepdims=True))
        engine.close()
    assert (found[0] * found[1]).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("name", ["mobilenet_v2_1.0_224_quant.tflite", "tf2_mobilenet_v2_1.0_224_ptq.tflite"])
def test_quantised_files_have_features(name: str, tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "weights" / name
    if not path.is_file():
        absent(f"no weights at {path}")
    artifact = import_model(ImportOptions(str(path)), tmp_path / "out")
    _, engine = load_engine(artifact)
    images = np.random.default_rng(0).random((2, 224, 224, 3)).astype(np.float32)
    features = engine.features(images)
    engine.close()
    assert features is not None and features.shape == (2, 1_280)
    assert np.isfinite(features).all() and 0 <= features.min() < features.max() < 10
