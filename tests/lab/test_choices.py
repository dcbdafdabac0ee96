"""Models that leave something open: outputs, signatures, the size, the order of dimensions. Nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from tensorflow.lite.tools import flatbuffer_utils  # noqa: E402

from model.__main__ import main  # noqa: E402
from model.artifact.load import load_engine  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model, open_source  # noqa: E402
from tests.networks import Save, as_keras, as_lite, as_saved_model, network, traced  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated"),
    pytest.mark.usefixtures("unmeasured"),
]

# The name of the output `animal` in each format.
NAMES: dict[Save, str] = {as_keras: "animal", as_saved_model: "output_0", as_lite: "output_0"}


def options(source: Path, **more: Any) -> ImportOptions:
    labels = source.parent / "labels.txt"
    labels.write_text("cat\ndog\neel\n")
    return ImportOptions(str(source), labels=labels, **{"pixels": "unit", **more})


def noise(count: int = 6, shape: tuple[int, ...] = (12, 10, 3)) -> Any:
    """Images 0..1, one brighter than the other."""
    images = np.random.default_rng(0).random((count, *shape)).astype(np.float32)
    return images * np.linspace(0.1, 1, count, dtype=np.float32)[:, None, None, None]


def check(order: ImportOptions, out: Path, expected: Any, images: Any) -> None:
    """Import the model, and compare the scores of each engine."""
    artifact = import_model(order, out)
    assert np.ptp(expected, axis=0).max() > 1e-4, "the scores depend on the images"
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(images), expected, atol=1e-5)
        engine.close()


@pytest.fixture(scope="module")
def two_heads() -> Any:
    """A network with three scores and two others."""
    keras.utils.set_random_seed(3)
    image = keras.Input((12, 10, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(image))
    animal = layers.Dense(3, activation="softmax", name="animal")(x)
    return keras.Model(image, [animal, layers.Dense(2, activation="sigmoid", name="mood")(x)])


@pytest.mark.parametrize("save", NAMES)
def test_one_of_several_outputs_is_chosen_by_its_name(save: Save, two_heads: Any, tmp_path: Path) -> None:
    source, name = save(tmp_path, two_heads), NAMES[save]
    with pytest.raises(SourceError, match=rf"gives 2 arrays \(.*{name}.*\); .* choose it with --output"):
        open_source(options(source))
    with pytest.raises(SourceError, match=rf"the output is 'tail'; .* gives .*{name}"):
        open_source(options(source, output="tail"))
    check(options(source, output=name), tmp_path / "out", two_heads.predict(noise(), verbose=0)[0], noise())
    assert f"Served: its output `{name}`." in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_an_output_is_chosen_on_the_command_line(two_heads: Any, tmp_path: Path) -> None:
    source = as_keras(tmp_path, two_heads)
    (tmp_path / "labels.txt").write_text("calm\nwild\n")
    given = ["--pixels", "unit", "--labels", str(tmp_path / "labels.txt"), "--engines", "litert", "--threshold", "0.7"]
    assert main(["import", str(source), "--output", "mood", *given, "--out", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "An image has the labels with a score of at least 0.7." in " ".join(card.split())


class _Two(tf.Module):  # type: ignore[misc]
    """Two signatures with different scores."""

    def __init__(self, made: Any) -> None:
        self.made = made

    @traced(None, 12, 10, 3)
    def first(self, images: Any) -> Any:
        return {"scores": self.made(images)}

    @traced(None, 12, 10, 3)
    def second(self, images: Any) -> Any:
        return {"scores": tf.reverse(self.made(images), [1])}


@pytest.fixture(scope="module")
def two_signatures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    made = network(shape=(12, 10, 3))
    both = _Two(made)
    folder = tmp_path_factory.mktemp("signatures") / "made"
    tf.saved_model.save(both, str(folder), signatures={"first": both.first, "second": both.second})
    return folder, made


def test_one_of_several_signatures_is_chosen_by_its_name(two_signatures: tuple[Path, Any], tmp_path: Path) -> None:
    source, made = two_signatures
    with pytest.raises(SourceError, match=r"has no signature named serving_default; .*--signature: 'first', 'second'"):
        open_source(options(source))
    with pytest.raises(SourceError, match="has no signature named third; "):
        open_source(options(source, signature="third"))
    expected = made.predict(noise(), verbose=0)[:, ::-1]
    check(options(source, signature="second"), tmp_path / "out", expected, noise())


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_signature_of_a_lite_model_is_chosen(name: str, two_signatures: tuple[Path, Any], tmp_path: Path) -> None:
    _, made = two_signatures
    archive, images = keras.export.ExportArchive(), keras.InputSpec(dtype="float32", shape=(None, 12, 10, 3))
    archive.track(made)
    archive.add_endpoint("first", made.call, [images])
    archive.add_endpoint("second", lambda given: keras.ops.flip(made(given), 1), [images])
    archive.write_out(str(tmp_path / "made"), verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "made"), signature_keys=["first", "second"])
    source = tmp_path / "made.tflite"
    source.write_bytes(converter.convert())
    with pytest.raises(SourceError, match="has no signature named third; its signatures are: 'first', 'second'"):
        open_source(options(source, signature="third"))
    expected = made.predict(noise(), verbose=0)[:, :: 1 if name == "first" else -1]
    check(options(source, signature=name), tmp_path / "out", expected, noise())


def test_a_lite_model_without_outputs_is_refused(tmp_path: Path) -> None:
    source = as_lite(tmp_path, network())
    model = flatbuffer_utils.read_model(str(source))
    model.signatureDefs, model.subgraphs[0].outputs = [], []
    source.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(SourceError, match=r"gives 0 arrays \(\); a classifier gives one row of scores"):
        open_source(options(source))


def test_a_keras_file_has_no_signatures(tmp_path: Path) -> None:
    source = as_keras(tmp_path, network())
    with pytest.raises(SourceError, match=r"the signature is 'first'; only SavedModel folders and \.tflite files"):
        open_source(options(source, signature="first"))


@pytest.mark.parametrize("save", [as_saved_model, as_lite])
def test_an_open_size_is_asked_for(save: Save, tmp_path: Path) -> None:
    made = network(shape=(None, None, 3))
    source = save(tmp_path, made)
    with pytest.raises(SourceError, match="takes images of any size; choose one with --size"):
        open_source(options(source))
    images = noise(shape=(14, 14, 3))
    check(options(source, size=14), tmp_path / "out", made.predict(images, verbose=0), images)


def channels_first() -> Any:
    """A network for images with their channels first."""
    keras.utils.set_random_seed(4)
    image = keras.Input((3, 12, 10))
    x = layers.Conv2D(6, 3, activation="relu")(layers.Permute((2, 3, 1))(layers.Rescaling(2.0)(image)))
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("save", [as_keras, as_saved_model])
def test_channels_first_are_transposed_where_an_operation_says_so(save: Save, tmp_path: Path) -> None:
    made = channels_first()
    expected = made.predict(noise().transpose(0, 3, 1, 2), verbose=0)
    check(options(save(tmp_path, made)), tmp_path / "out", expected, noise())


@pytest.mark.parametrize("save", [as_keras, as_saved_model, as_lite])
def test_a_shape_alone_does_not_say_that_channels_come_first(save: Save, tmp_path: Path) -> None:
    source = save(tmp_path, network(shape=(3, 20, 20)))
    with pytest.raises(SourceError, match=r"takes \[N, 3, 20, 20\]: its channels come first; it must take"):
        open_source(options(source))


class _Half(tf.Module):  # type: ignore[misc]
    """Half precision at both ends."""

    def __init__(self, made: Any) -> None:
        self.made = made

    @tf.function(input_signature=[tf.TensorSpec((None, 12, 10, 3), tf.float16)])  # type: ignore[untyped-decorator]
    def score(self, images: Any) -> Any:
        return {"scores": tf.cast(self.made(tf.cast(images, tf.float32)), tf.float16)}


def test_a_saved_model_of_half_precision_is_served(tmp_path: Path) -> None:
    made = network(shape=(12, 10, 3))
    half = _Half(made)
    tf.saved_model.save(half, str(tmp_path / "made"), signatures={"serving_default": half.score})
    artifact = import_model(options(tmp_path / "made", engines=("savedmodel",)), tmp_path / "out")
    _, engine = load_engine(artifact)
    np.testing.assert_allclose(engine.score(noise()), made.predict(noise(), verbose=0), atol=2e-3)
    engine.close()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_network_of_half_precision_is_served(suffix: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    image = keras.Input((12, 10, 3))
    x = layers.Conv2D(6, 3, activation="relu", dtype="mixed_float16")(image)
    x = layers.GlobalAveragePooling2D(dtype="mixed_float16")(x)
    made = keras.Model(image, layers.Dense(3, activation="softmax", dtype="mixed_float16")(x))
    assert made.outputs[0].dtype == "float16"
    made.save(tmp_path / f"made.{suffix}")
    artifact = import_model(options(tmp_path / f"made.{suffix}"), tmp_path / "out")
    assert set(artifact.engines) == {"litert", "savedmodel"}
    expected = made.predict(noise(), verbose=0).astype(np.float32)
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(noise()), expected, atol=2e-3)
        engine.close()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_preprocessing_layers_are_part_of_the_model(suffix: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    normalisation = layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.04, 0.05, 0.06])
    own = [layers.Resizing(12, 10), layers.RandomFlip(), layers.RandomZoom(0.3), layers.Rescaling(1 / 255)]
    made = network(*own, normalisation, shape=(16, 14, 3))
    made.save(tmp_path / f"made.{suffix}")
    images = 255 * noise(shape=(16, 14, 3))
    order = options(tmp_path / f"made.{suffix}", pixels=None)
    check(order, tmp_path / "out", made.predict(images, verbose=0), images)
    assert "Pixels: `raw`" in (tmp_path / "out" / "MODEL_CARD.md").read_text()
    with pytest.raises(SourceError, match=r"scales them itself, by .*, so they would be scaled twice"):
        import_model(options(tmp_path / f"made.{suffix}", pixels="unit"), tmp_path / "other")
