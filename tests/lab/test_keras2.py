"""Files that Keras 2 saved: loaded with the same scores, whatever their names, or refused with the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
from keras import layers  # noqa: E402

from model.__main__ import main  # noqa: E402
from model.artifact.load import load_engine  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.export import variants  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model, open_source  # noqa: E402
from model.training.importing.safe_keras import load_keras  # noqa: E402
from tests.fakes import UNMEASURED  # noqa: E402
from tests.keras2_files import as_keras2, rewrite, saved  # noqa: E402
from tests.networks import network  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]


def functional() -> Any:
    """A network with what Keras 2 writes differently, inside a network as well."""
    keras.utils.set_random_seed(5)
    inner = keras.Sequential([keras.Input((20, 16, 3)), layers.RandomFlip(), layers.RandomRotation(0.2)])
    image = keras.Input((20, 16, 3))
    x = layers.SeparableConv2D(4, 3)(layers.DepthwiseConv2D(3)(layers.Rescaling(1 / 255)(inner(image))))
    body = keras.Model(features := keras.Input(x.shape[1:]), layers.BatchNormalization()(features))
    x = layers.GlobalAveragePooling2D()(layers.ReLU(6.0)(body(x)))
    return keras.Model(image, layers.Dense(3, activation="softmax", name="head")(x))


def sequential() -> Any:
    """The form of Teachable Machine: networks in networks in a network."""
    keras.utils.set_random_seed(6)
    image = keras.Input((20, 16, 3))
    x = layers.DepthwiseConv2D(3)(layers.Rescaling(1 / 255)(image))
    base = keras.Model(image, layers.BatchNormalization()(x))
    body = keras.Sequential([keras.Input((20, 16, 3)), base, layers.GlobalAveragePooling2D()])
    head = keras.Sequential([keras.Input((3,)), layers.Dense(3, activation="softmax")])
    return keras.Sequential([keras.Input((20, 16, 3)), body, head])


def with_argument(layer: str, key: str, value: Any) -> Callable[[Any], Any]:
    """Adds an argument to each layer of a class."""

    def change(node: Any) -> Any:
        if isinstance(node, list):
            return [change(each) for each in node]
        if not isinstance(node, dict):
            return node
        made = {name: change(each) for name, each in node.items()}
        if made.get("class_name") == layer:
            made["config"][key] = value
        return made

    return change


def noise(count: int = 8) -> Any:
    """Images 0..255, one brighter than the other."""
    images = np.random.default_rng(0).uniform(0, 255, (count, 20, 16, 3)).astype(np.float32)
    return images * np.linspace(0.1, 1, count, dtype=np.float32)[:, None, None, None]


@pytest.mark.parametrize("make", [functional, sequential])
@pytest.mark.parametrize("name", ["a.keras", "a.h5", "a.hdf5", "a.h5.keras", "a.keras.h5", "a.h5.model", "a.keras.x"])
def test_a_file_of_keras_2_scores_as_it_did(make: Callable[[], Any], name: str, tmp_path: Path) -> None:
    made = make()
    for layer in made.layers:
        layer.set_weights([np.random.default_rng(1).uniform(0.01, 0.3, each.shape) for each in layer.get_weights()])
    expected = made(noise(), training=False)
    path = saved(made, tmp_path / name)
    before = path.read_bytes()
    found = load_keras(path)
    np.testing.assert_allclose(found(noise(), training=False), expected, atol=1e-6)
    assert np.ptp(np.asarray(expected), axis=0).max() > 1e-4, "the scores depend on the images"
    assert path.read_bytes() == before, "the file itself is not changed"
    source = open_source(ImportOptions(str(path)))
    assert source.spec.outputs == 3


def test_names_with_slashes_are_read(tmp_path: Path) -> None:
    image = keras.Input((20, 16, 3), name="image")
    x = layers.GlobalAveragePooling2D(name="pool_1")(layers.Conv2D(4, 3, name="conv_1")(image))
    made = keras.Model(image, layers.Dense(3, activation="softmax", name="head_1")(x))

    def slashed(given: Any) -> Any:
        text = json.dumps(as_keras2(given, False))
        for name in ("pool", "conv", "head"):
            text = text.replace(f"{name}_1", f"{name}/1")
        return json.loads(text)

    made.save(tmp_path / "a.keras")
    found = load_keras(rewrite(tmp_path / "a.keras", slashed))
    np.testing.assert_allclose(found(noise()), made(noise()), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_argument("DepthwiseConv2D", "groups", 2), "'groups'"),
        (with_argument("BatchNormalization", "virtual_batch_size", 4), "'virtual_batch_size'"),
        (with_argument("Dense", "units_of_keras_2", 7), "'units_of_keras_2'"),
    ],
)
def test_an_argument_that_means_something_else_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    path = saved(functional(), tmp_path / "a.keras")
    with pytest.raises(SourceError, match="cannot be loaded") as refused:
        load_keras(rewrite(path, change))
    assert words in str(refused.value) and "Keras 2.15.0 saved it" in str(refused.value)


def refined(node: Any) -> Any:
    """Writes what only some files of Keras 2 hold: a policy of a layer, arguments without a meaning."""
    made = with_argument("SpatialDropout2D", "trainable", True)(node)
    made = with_argument("SpatialDropout2D", "noise_shape", None)(made)
    made = with_argument("LSTM", "time_major", False)(made)
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}, "registered_name": None}
    return with_argument("Conv2D", "dtype", policy)(made)


@pytest.mark.parametrize("form", [".keras", ".h5"])
def test_layers_that_keras_2_writes_with_more_arguments_are_read(form: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    image = keras.Input((20, 16, 3))
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(layers.Rescaling(1 / 255)(image))
    x = layers.LSTM(4)(layers.Reshape((14, 72))(layers.SpatialDropout2D(0.2)(x)))
    made = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    path = tmp_path / f"a{form}"
    made.save(path)
    rewrite(path, lambda given: refined(as_keras2(given, form == ".h5")))
    if form == ".keras":
        rewrite(path, with_argument("Rescaling", "batch_input_shape", [None, 20, 16, 3]))
    found = load_keras(path)
    np.testing.assert_allclose(found(noise()), made(noise()), atol=1e-3)


@pytest.mark.parametrize("function", ["hard_sigmoid", {"class_name": "function", "config": "hard_sigmoid"}])
def test_a_function_that_keras_2_calculates_differently_is_refused(function: Any, tmp_path: Path) -> None:
    """Keras 2's hard_sigmoid is 0.2 x + 0.5 between 0 and 1, this Keras's is x / 6 + 0.5."""
    path = saved(functional(), tmp_path / "a.keras")
    with pytest.raises(SourceError, match="uses hard_sigmoid, which is another function in this Keras; Keras"):
        load_keras(rewrite(path, with_argument("Dense", "activation", function)))
    network(activation="hard_sigmoid").save(path)
    assert open_source(ImportOptions(str(path))).ends.last == "hard_sigmoid"


def unknown(node: Any) -> Any:
    return json.loads(json.dumps(as_keras2(node, False)).replace('"GlobalAveragePooling2D"', '"OfAnotherPackage"'))


def operation(node: Any) -> Any:
    return json.loads(json.dumps(as_keras2(node, False)).replace('"ReLU"', '"TFOpLambda"'))


@pytest.mark.parametrize(
    ("change", "words"),
    [(unknown, "OfAnotherPackage"), (operation, "holds a TFOpLambda layer, a function of")],
)
def test_what_cannot_be_read_is_one_line_with_the_way_out(
    change: Callable[[Any], Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    functional().save("a.keras")
    rewrite(Path("a.keras"), change)
    assert main(["import", "a.keras", "--out", "out"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert len(said) <= 300 and words in said
    assert "Keras 2.15.0 saved it" in said and said.endswith("and import the folder")


def test_a_file_of_this_keras_is_not_converted(tmp_path: Path) -> None:
    functional().save(tmp_path / "a.keras")
    change = with_argument("DepthwiseConv2D", "groups", 1)
    with pytest.raises(SourceError, match="it must hold only Keras' own layers"):
        load_keras(rewrite(tmp_path / "a.keras", change, keras.__version__))


def test_layers_for_training_do_nothing_in_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "measure_speeds", lambda targets: [UNMEASURED for _ in targets])
    made = network(
        keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.3), layers.RandomContrast(0.5)]),
        layers.Rescaling(1 / 255),
        layers.Dropout(0.5),
    )
    made.save(tmp_path / "a.keras")
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    options = ImportOptions(str(tmp_path / "a.keras"), labels=tmp_path / "labels.txt", pixels="raw")
    artifact = import_model(options, tmp_path / "out")
    assert set(artifact.engines) == {"litert", "savedmodel"}
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        for _ in range(2):
            np.testing.assert_allclose(engine.score(noise()), made.predict(noise(), verbose=0), atol=1e-5)
        engine.close()
