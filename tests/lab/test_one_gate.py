"""Variant selection for imported models: compressed and compared like our own network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from model.__main__ import main  # noqa: E402
from model.artifact.load import Artifact, load_engine  # noqa: E402
from model.drift import read_reference  # noqa: E402
from model.errors import ArtifactError  # noqa: E402
from model.explain import explain  # noqa: E402
from model.predictor import Predictor  # noqa: E402
from model.training.errors import ExportError  # noqa: E402
from model.training.export import variants  # noqa: E402
from model.training.export.benchmark import Speed, Target  # noqa: E402
from model.training.export.convert import convert  # noqa: E402
from model.training.export.selection import VARIANTS  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model  # noqa: E402
from tests.fakes import UNMEASURED  # noqa: E402
from tests.networks import as_saved_model, network  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

LABELS = "blue", "green", "red"
ROW = re.compile(r"^\| \**(\w+)\**(, [a-z ]+)? \| ([\d.]+)% \| (-|-?[\d.]+) \|", re.M)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds that need no measuring: the smaller the numbers of a form, the faster it is."""

    def speed(target: Target) -> Speed:
        rate = float(1 + VARIANTS.index(target.model.stem)) if target.model.stem in VARIANTS else 0.5
        return replace(UNMEASURED, rates=dict.fromkeys(UNMEASURED.rates, rate), rounds=(rate, rate))

    monkeypatch.setattr(variants, "measure_speeds", lambda targets: [speed(target) for target in targets])


@pytest.fixture(scope="module")
def user_model() -> Any:
    """A network that was trained to tell three colours apart."""
    made = network()
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 3, 300)
    images = rng.uniform(0, 0.4, (300, 20, 16, 3))
    images[np.arange(300), :, :, 2 - colours] += 0.5
    made.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", jit_compile=False)
    made.fit(images.astype(np.float32), colours, epochs=8, verbose=0)
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of each colour, a folder each, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for column, label in enumerate(LABELS):
        (folder / label).mkdir()
        for number in range(8):
            pixels = rng.integers(0, 100, (50, 40, 3))
            pixels[..., 2 - column] += 130
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.png")
    (folder / "red" / "notes.txt").write_text("no image")
    return folder


def as_keras(path: Path, made: Any) -> Path:
    made.save(path / "made.keras")
    return path / "made.keras"


def order_of(source: Path, data: Path | None, **changes: Any) -> ImportOptions:
    (source.parent / "labels.txt").write_text("\n".join(LABELS))
    return ImportOptions(str(source), labels=source.parent / "labels.txt", pixels="unit", data=data, **changes)


def card_of(artifact: Artifact) -> str:
    return (artifact.folder / "MODEL_CARD.md").read_text("utf-8")


def form_of(artifact: Artifact) -> str:
    engines = json.loads((artifact.folder / "manifest.json").read_text("utf-8"))["engines"]
    return str(next(engine.get("variant", "") for engine in engines if engine["name"] == "litert"))


@pytest.mark.parametrize("form", [as_keras, as_saved_model], ids=["keras", "SavedModel"])
def test_the_fastest_accurate_variant_is_served(
    form: Callable[[Path, Any], Path], user_model: Any, photos: Path, tmp_path: Path
) -> None:
    artifact = import_model(order_of(form(tmp_path, user_model), photos), tmp_path / "out")
    rows = ROW.findall(card_of(artifact))
    assert rows == [
        *((name, "", "100.00", "0.00") for name in VARIANTS[:-1]),
        (VARIANTS[-1], ", served", "100.00", "0.00"),
    ]
    assert form_of(artifact) == "int8"
    assert "the 16 images of `photos" in card_of(artifact)
    reference = read_reference(artifact.folder)
    assert (reference.images, reference.counts) == (16, {"blue": 5, "green": 5, "red": 6})
    _, engine = load_engine(artifact, "litert")
    predictor = Predictor(engine)
    for label in LABELS:
        prepared = predictor.prepare((photos / label / "0.png").read_bytes())
        assert predictor.predict(prepared, 1)[0].label == label
    engine.close()


def test_inaccurate_and_impossible_variants_are_reported_and_not_served(
    user_model: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = keras.Model(user_model.inputs, layers.Lambda(lambda scores: scores[:, ::-1])(user_model.outputs[0]))
    other = tf.lite.TFLiteConverter.from_saved_model(str(as_saved_model(tmp_path, turned))).convert()

    def failing(saved_model: Path, endpoints: Any, variant: str, samples: Any) -> bytes:
        if variant == "float16":
            raise ExportError("it has an operation too many")
        return other if variant == "int8" else convert(saved_model, endpoints, variant, samples)

    monkeypatch.setattr(variants, "convert", failing)
    artifact = import_model(order_of(as_keras(tmp_path, user_model), photos), tmp_path / "out")
    assert form_of(artifact) == "dynamic"
    (row,) = (row for row in ROW.findall(card_of(artifact)) if row[0] == "int8")
    assert row[1] == ", does not pass" and float(row[2]) < 50 < float(row[3])
    assert "float16 cannot be made: it has an operation too many.\n" in card_of(artifact)
    assert "float16 cannot be made: it has an operation too many" in capsys.readouterr().err


def test_without_labels_only_agreement_is_measured(user_model: Any, photos: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in sorted(photos.glob("*/*.png")):
        (mixed / f"{path.parent.name}{path.name}").write_bytes(path.read_bytes())
    artifact = import_model(order_of(as_keras(tmp_path, user_model), mixed), tmp_path / "out")
    assert {drop for *_, drop in ROW.findall(card_of(artifact))} == {"-"}
    assert "these images have no labels" in card_of(artifact)
    assert (form_of(artifact), read_reference(artifact.folder).images) == ("int8", 16)


def test_without_images_no_variant_is_compressed(user_model: Any, tmp_path: Path) -> None:
    artifact = import_model(order_of(as_keras(tmp_path, user_model), None), tmp_path / "out")
    assert form_of(artifact) == "float32"
    assert "There are no smaller variants, because there were no images to compare their predictions on" in card_of(
        artifact
    )
    with pytest.raises(ArtifactError, match="holds no reference to compare with"):
        read_reference(artifact.folder)


def test_a_litert_file_is_imported_unchanged(user_model: Any, photos: Path, tmp_path: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(as_saved_model(tmp_path, user_model)))
    (tmp_path / "made.tflite").write_bytes(converter.convert())
    artifact = import_model(order_of(tmp_path / "made.tflite", photos), tmp_path / "out")
    assert (artifact.folder / "model.tflite").read_bytes() == (tmp_path / "made.tflite").read_bytes()
    assert (form_of(artifact), read_reference(artifact.folder).images) == ("", 16)
    assert "`model.tflite` is the imported file, unchanged." in card_of(artifact)


def dense_alone() -> Any:
    return keras.Sequential([keras.Input((20, 16, 3)), layers.Flatten(), layers.Dense(3, "softmax")])


def softmax_apart() -> Any:
    apart = network(activation=None)
    return keras.Sequential([keras.Input((20, 16, 3)), *apart.layers, layers.Activation("softmax")])


@pytest.mark.parametrize(
    ("make", "method"),
    [
        (network, "class_activation"),
        (lambda: network(activation=None), "class_activation"),
        (lambda: network(shape=(None, None, 3)), "class_activation"),
        (softmax_apart, "class_activation"),
        (lambda: network(outputs=1, activation="sigmoid"), "occlusion"),
        (dense_alone, "occlusion"),
    ],
    ids=["pooling", "logits", "any size", "softmax apart", "one score", "no pooling"],
)
def test_an_import_reports_its_variants(make: Callable[[], Any], method: str, tmp_path: Path) -> None:
    made = make()
    outputs = "logits" if made.layers[-1].activation is keras.activations.linear else None
    size = 20 if made.input_shape[1] is None else 0
    order = order_of(as_keras(tmp_path, made), None, engines=("litert",), size=size, outputs=outputs)
    if made.output_shape[-1] == 1:
        (tmp_path / "labels.txt").write_text("cat\ndog\n")
    artifact = import_model(order, tmp_path / "out")
    _, engine = load_engine(artifact)
    signature = artifact.signature
    images = np.random.default_rng(0).random((2, signature.height, signature.width, 3), np.float32)
    assert explain(engine, images[:1], 1).method == method
    if (maps := engine.activations(images)) is not None:
        odds = np.exp(maps.mean(axis=(1, 2)) + np.array(made.weights[-1]))  # a map's mean is the logit without the bias
        np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), engine.score(images), atol=1e-5)
    engine.close()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "photos holds no images; it must hold images, or folders of images named after labels"),
        (
            ("phone.heic", "notes.txt"),
            "photos holds no images; it must hold images, or folders of images named after labels",
        ),
        (("only.png",), "photos holds one file; it must hold at least two images"),
        (("notes.png", "more.png"), "none of the 1 files can be read as images of `photos`; at least one must be"),
        (
            ("cat/a.png", "red/a.png"),
            "photos holds the folder 'cat', which is not a label of the model; its labels are 'blue', 'green', 'red'",
        ),
        (None, "photos does not exist"),
    ],
    ids=["empty", "other files", "one file", "no images", "no label", "no folder"],
)
def test_wrong_images_are_refused_with_a_clear_message(
    files: tuple[str, ...] | None, words: str, user_model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, order = tmp_path / "photos", order_of(as_keras(tmp_path, user_model), None)
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"no image")
    command = ["import", order.source, "--labels", str(order.labels), "--pixels", "unit", "--data", str(folder)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "model import: " in said and words in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()
