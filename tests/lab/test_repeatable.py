"""A model that scores the same image differently is refused: predictions are a function of the image alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from model.artifact.load import load_engine  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model  # noqa: E402
from tests.networks import as_saved_model, network, traced  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.usefixtures("unmeasured"),
]


class Neighbours(tf.Module):  # type: ignore[misc]
    """Normalises by the batch, as batch normalisation does in training."""

    @traced(None, 20, 16, 3)
    def score(self, images: Any) -> Any:
        means = tf.reduce_mean(images, axis=(1, 2))
        return {"scores": tf.nn.softmax(means - tf.reduce_mean(means, axis=0))}


def by_neighbours(path: Path) -> Path:
    module = Neighbours()
    tf.saved_model.save(module, str(path / "made"), signatures=module.score)
    return path / "made"


def augmenting(layer: Any) -> Any:
    def save(path: Path) -> Path:
        made = network(layer())
        exported = keras.export.ExportArchive()
        exported.track(made)
        spec = keras.InputSpec(dtype="float32", shape=(None, 20, 16, 3), name="images")
        exported.add_endpoint("serve", lambda images: made(images, training=True), [spec])
        exported.write_out(str(path / "made"), verbose=False)
        return path / "made"

    return save


@pytest.mark.parametrize(
    ("save", "how"),
    [
        (augmenting(lambda: layers.RandomTranslation(0.2, 0.2)), "a second time"),
        (augmenting(lambda: layers.Dropout(0.2)), "a second time"),
        (augmenting(lambda: layers.GaussianNoise(0.05)), "a second time"),
        (by_neighbours, "alone"),
    ],
    ids=["augmentation", "dropout", "noise", "the batch"],
)
def test_a_model_that_scores_an_image_differently_is_refused(save: Any, how: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    options = ImportOptions(str(save(tmp_path)), labels=tmp_path / "labels.txt", pixels="unit", engines=("savedmodel",))
    with pytest.raises(SourceError, match=f"scores the same image differently {how}, by .*save the model without augm"):
        import_model(options, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layer", [lambda: layers.RandomContrast(0.5), lambda: layers.RandomFlip()])
def test_scores_of_0_and_1_hide_no_difference(layer: Any, tmp_path: Path) -> None:
    """Pixels 0..255 give each bright image one label with certainty."""
    made = network(layer())
    kernel, bias = made.layers[-1].get_weights()
    made.layers[-1].set_weights([kernel * 3, bias])
    exported = keras.export.ExportArchive()
    exported.track(made)
    spec = keras.InputSpec(dtype="float32", shape=(None, 20, 16, 3), name="images")
    exported.add_endpoint("serve", lambda images: made(images, training=True), [spec])
    exported.write_out(str(tmp_path / "made"), verbose=False)
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    options = ImportOptions(
        str(tmp_path / "made"), labels=tmp_path / "labels.txt", pixels="raw", engines=("savedmodel",)
    )
    with pytest.raises(SourceError, match="scores the same image differently a second time"):
        import_model(options, tmp_path / "out")


def test_a_model_in_inference_mode_is_accepted(tmp_path: Path) -> None:
    made = keras.Sequential(
        [keras.Input((20, 16, 3)), layers.BatchNormalization(), *network(layers.Dropout(0.5)).layers]
    )
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    options = ImportOptions(
        str(as_saved_model(tmp_path, made)), labels=tmp_path / "labels.txt", pixels="unit", engines=("savedmodel",)
    )
    assert import_model(options, tmp_path / "out").engines == ("savedmodel",)


def test_augmentation_inside_a_keras_model_is_not_exported(tmp_path: Path, shared_data: Path) -> None:
    case = shared_data.parent / "cases" / "models" / "aug-nested.keras"
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    artifact = import_model(ImportOptions(str(case), labels=tmp_path / "labels.txt"), tmp_path / "out")
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    expected = keras.saving.load_model(case, compile=False).predict(images, verbose=0)
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(images), expected, atol=1e-5)
        engine.close()
    assert set(artifact.engines) == {"litert", "savedmodel"}
