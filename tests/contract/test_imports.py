"""Models from elsewhere: opened without running their code, served with their own scores, refused in plain words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from model.__main__ import main  # noqa: E402
from model.artifact import load_engine, read_artifact  # noqa: E402
from model.training import pack  # noqa: E402
from model.training.errors import ExportError, SourceError  # noqa: E402
from model.training.imports import Order, import_model  # noqa: E402
from model.training.measure import Speed  # noqa: E402
from tests.conftest import absent  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds that need no measuring."""
    monkeypatch.setattr(pack, "measure_speed", lambda folder, engine: Speed(1.0, 1.0, 0.5))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    return tmp_path / "labels.txt"


def network(*top: Any, outputs: int = 3, activation: str | None = "softmax", shape: Any = (20, 16, 3)) -> Any:
    keras.utils.set_random_seed(1)
    body = [layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(outputs, activation)]
    return keras.Sequential([keras.Input(shape), *top, *body])


@pytest.fixture(scope="module")
def stranger() -> Any:
    """Batch normalisation, a branch, weights that were trained: what strangers' networks have."""
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


def test_a_strangers_model_scores_as_in_tensorflow_on_a_thousand_images(
    stranger: Any, tmp_path: Path, labels: Path
) -> None:
    stranger.save(tmp_path / "flowers.keras")
    artifact = import_model(Order(str(tmp_path / "flowers.keras"), labels=labels, pixels="tf"), tmp_path / "out")
    assert (artifact.name, set(artifact.engines)) == ("flowers", {"litert", "savedmodel"})
    images = photos_of(1000)[0] / 127.5 - 1
    expected = stranger.predict(images, verbose=0)
    assert (np.bincount(expected.argmax(axis=1), minlength=3) > 100).all(), "it tells them apart"
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        scores = engine.score(images)
        engine.close()
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        assert (scores.argmax(axis=1) == expected.argmax(axis=1)).all()


def as_h5(path: Path, made: Any) -> Path:
    made.save(path / "made.h5")
    return path / "made.h5"


def as_saved_model(path: Path, made: Any) -> Path:
    made.export(path / "made", verbose=False)
    return path / "made"


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
def test_every_form_scores_as_the_model_did(
    form: Callable[[Path, Any], Path],
    pixels: str | None,
    tolerance: float,
    stranger: Any,
    tmp_path: Path,
    labels: Path,
) -> None:
    source = form(tmp_path, stranger)
    artifact = import_model(Order(str(source), labels=labels, pixels=pixels), tmp_path / "out")
    images = photos_of(100)[0] / 127.5 - 1
    expected = stranger.predict(images, verbose=0)
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(images), expected, atol=tolerance)
        engine.close()
    if form is as_whole_numbers:
        *_, scale = artifact.signature.preprocessing["steps"]
        assert [scale["offset"], 255 * scale["factor"] + scale["offset"]] == pytest.approx([-1, 1], abs=0.02)


def test_what_a_model_leaves_open_is_filled(tmp_path: Path, labels: Path) -> None:
    any_size = network(layers.Rescaling(1 / 255), shape=(None, None, 3), activation=None)
    any_size.save(tmp_path / "open.keras")
    order = Order(str(tmp_path / "open.keras"), labels=labels, size=24, engines=("litert",))
    artifact = import_model(order, tmp_path / "out")
    assert (artifact.signature.height, artifact.engines) == (24, ("litert",))
    assert not (artifact.folder / "saved_model").exists()
    assert artifact.signature.preprocessing["steps"][-1] == {"op": "scale", "factor": 1.0, "offset": 0.0}
    assert "Its logits are turned into probabilities" in (artifact.folder / "MODEL_CARD.md").read_text()
    images = np.random.default_rng(0).uniform(0, 255, (5, 24, 24, 3)).astype(np.float32)
    _, engine = load_engine(artifact)
    expected = keras.ops.softmax(any_size.predict(images, verbose=0))
    np.testing.assert_allclose(engine.score(images), expected, atol=1e-5)


def test_one_score_becomes_two(tmp_path: Path) -> None:
    made = network(outputs=1, activation="sigmoid")
    made.save(tmp_path / "cats.keras")
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    order = Order(str(tmp_path / "cats.keras"), labels=tmp_path / "two.txt", pixels="unit", engines=("litert",))
    _, engine = load_engine(import_model(order, tmp_path / "out"))
    images = np.random.default_rng(0).random((5, 20, 16, 3), np.float32)
    dog = made.predict(images, verbose=0)
    np.testing.assert_allclose(engine.score(images), np.concatenate([1 - dog, dog], axis=1), atol=1e-5)


def two_inputs() -> Any:
    ends = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    return keras.Model(ends, layers.Dense(3)(layers.Flatten()(layers.Add()(ends))))


def two_outputs() -> Any:
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(3)(flat), layers.Dense(2)(flat)])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: two_inputs(), r"takes 2 arrays \(left, right\); a classifier takes one batch of images"),
        (lambda: two_outputs(), r"gives 2 arrays"),
        (lambda: keras.Sequential([keras.Input((10,)), layers.Dense(3)]), r"takes \[N, 10\]; it must take \[N, height"),
        (lambda: network(shape=(3, 20, 20)), r"takes \[N, 3, 20, 20\]: its channels come first"),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3)]),
            r"gives \[N, 6, 6, 3\]; it must give",
        ),
        (lambda: network(shape=(None, None, 3)), "takes images of any size; say which with --size"),
        (lambda: network(outputs=5), "names 3 labels; the model gives 5 scores"),
        (lambda: network(), "does not say how its pixels were scaled in training; say it with --pixels"),
    ],
)
def test_what_is_no_classifier_is_refused(made: Callable[[], Any], words: str, tmp_path: Path, labels: Path) -> None:
    made().save(tmp_path / "made.keras")
    with pytest.raises(SourceError, match=words):
        import_model(Order(str(tmp_path / "made.keras"), labels=labels), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_for_architectures_is_refused_with_files(tmp_path: Path, labels: Path) -> None:
    network().save(tmp_path / "made.keras")
    with pytest.raises(SourceError, match="--weights and --alpha are for a name of the catalog"):
        import_model(Order(str(tmp_path / "made.keras"), labels=labels, weights="none"), tmp_path / "out")
    source = as_saved_model(tmp_path, network(shape=(None, None, 3)))
    with pytest.raises(SourceError, match="takes images of any size; it must be saved with a fixed one"):
        import_model(Order(str(source), labels=labels, pixels="tf", size=24), tmp_path / "out")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_code_is_not_run(suffix: str, tmp_path: Path, labels: Path) -> None:
    made = network(layers.Lambda(lambda x: x / 255))
    made.save(tmp_path / f"made.{suffix}")
    with pytest.raises(SourceError, match="holds a Lambda layer, which runs code that comes with the file"):
        import_model(Order(str(tmp_path / f"made.{suffix}"), labels=labels), tmp_path / "out")


def test_a_class_of_their_own_is_refused(tmp_path: Path, labels: Path) -> None:
    network().save(tmp_path / "made.keras")
    with zipfile.ZipFile(tmp_path / "made.keras") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system", "registered_name": None}
    with zipfile.ZipFile(tmp_path / "made.keras", "w") as file:
        for name, data in {**parts, "config.json": json.dumps(config).encode()}.items():
            file.writestr(name, data)
    with pytest.raises(SourceError, match="it must hold Keras' own layers alone"):
        import_model(Order(str(tmp_path / "made.keras"), labels=labels), tmp_path / "out")


def test_a_graph_that_reads_files_is_refused(tmp_path: Path, labels: Path) -> None:
    class Spy(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec((None, 20, 16, 3))])
        def score(self, images: Any) -> Any:
            read = tf.strings.length(tf.io.read_file("/etc/hostname"))
            return {"scores": tf.zeros((tf.shape(images)[0], 3)) + tf.cast(read, tf.float32)}

    spy = Spy()
    tf.saved_model.save(spy, str(tmp_path / "spy"), signatures=spy.score)
    with pytest.raises(SourceError, match="runs ReadFile when it scores"):
        import_model(Order(str(tmp_path / "spy"), labels=labels, pixels="unit"), tmp_path / "out")


def test_a_saved_model_without_probabilities_is_refused(tmp_path: Path, labels: Path) -> None:
    source = as_saved_model(tmp_path, network(activation=None))
    with pytest.raises(SourceError, match=r"gives numbers from -?[\d.]+ to [\d.]+, not probabilities"):
        import_model(Order(str(source), labels=labels, pixels="raw"), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("made.keras", b"nonsense", "is not a Keras model: File is not a zip file"),
        ("made.h5", b"nonsense", "is not a Keras model"),
        ("made.tflite", b"nonsense", "is not a model that LiteRT can load"),
        ("made.onnx", b"nonsense", r"is no kind that is known; a model is a \.keras, \.h5, \.tflite file"),
        ("made", None, r"holds no saved_model\.pb"),
        ("gone.keras", None, "gone.keras does not exist"),
        ("gone.tflite", None, "gone.tflite does not exist"),
        ("gone.pb", None, "gone.pb is not there"),
    ],
)
def test_files_that_are_no_models_are_named(name: str, data: bytes | None, words: str, tmp_path: Path) -> None:
    if data:
        (tmp_path / name).write_bytes(data)
    elif "." not in name:
        (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match=words):
        import_model(Order(str(tmp_path / name)), tmp_path / "out")


def test_an_engine_that_scores_otherwise_is_not_kept(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network().save(tmp_path / "made.keras")
    order = Order(str(tmp_path / "made.keras"), labels=labels, pixels="unit", engines=("litert",))
    before = import_model(order, tmp_path / "out").digest
    monkeypatch.setattr(pack, "score_all", lambda engine, images: np.full((len(images), 3), 1 / 3, np.float32))
    with pytest.raises(ExportError, match="litert does not score as the model does"):
        import_model(order, tmp_path / "out")
    assert read_artifact(tmp_path / "out").digest == before
    assert not (tmp_path / "out.packing").exists()


FULL_DISK = """
import resource, sys
from model.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # every larger file is one that does not fit
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_said_and_leaves_what_was_there(root: Path, tmp_path: Path, labels: Path) -> None:
    network().save(tmp_path / "made.keras")
    order = Order(str(tmp_path / "made.keras"), labels=labels, pixels="unit", engines=("litert",))
    before = import_model(order, tmp_path / "out").digest
    wide = keras.Sequential([keras.Input((20, 16, 3)), layers.Flatten(), layers.Dense(100), layers.Dense(3, "softmax")])
    wide.save(tmp_path / "wide.keras")
    command = ["import", str(tmp_path / "wide.keras"), "--labels", str(labels), "--pixels", "unit"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *command, "--out", str(tmp_path / "out")],
        cwd=root, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "out cannot be written: " in done.stderr
    assert "what stood there is as it was" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_artifact(tmp_path / "out").digest == before
    assert not (tmp_path / "out.packing").exists()


def test_the_command_imports_and_ctrl_c_leaves_nothing(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network().save(tmp_path / "made.keras")
    command = [
        "import",
        str(tmp_path / "made.keras"),
        "--labels",
        str(labels),
        "--pixels",
        "unit",
        "--framing",
        "squash",
    ]
    command += ["--out", str(tmp_path / "out"), "--engines", "litert", "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "artifact": str(tmp_path / "out"),
        "digest": read_artifact(tmp_path / "out").digest,
        "engines": ["litert"],
    }

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pack, "measure_speed", interrupt)
    assert main([*command[:-4], str(tmp_path / "other"), "--engines", "litert"]) == 130
    assert capsys.readouterr().err.endswith("model import: interrupted\n")
    assert {path.name for path in tmp_path.iterdir()} == {"made.keras", "labels.txt", "out"}


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("MobileNet", {"alpha": 0.75, "weights": "mobilenet_v1_0.75_224_keras_fp32.npz", "engines": ("litert",)}),
        ("mobilenet_v2_1.0_224_quant.tflite", {}),
        ("tf2_mobilenet_v2_1.0_224_ptq.tflite", {}),
    ],
    ids=["MobileNet v1", "MobileNet v2, quantised in training", "MobileNet v2, quantised afterwards"],
)
def test_real_weights_are_right_as_served(
    source: str, options: dict[str, Any], tmp_path: Path, shared_data: Path
) -> None:
    from model.predictor import Predictor

    weights = shared_data / "weights"
    if not weights.is_dir():
        absent(f"no weights at {weights}")
    if "weights" in options:
        options = options | {"weights": str(weights / options["weights"])}
    elif source.endswith(".tflite"):
        source = str(weights / source)
    artifact = import_model(Order(source, **options), tmp_path / "out")
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
