"""Models that are no image classifiers or contain code are refused clearly; the output folder is unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
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
from model.artifact.load import read_artifact  # noqa: E402
from model.training.errors import ExportError, SourceError  # noqa: E402
from model.training.export import variants  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model  # noqa: E402
from tests.fakes import UNMEASURED  # noqa: E402
from tests.networks import as_keras, as_lite, as_saved_model, network, traced  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
    pytest.mark.usefixtures("unmeasured"),
]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    return tmp_path / "labels.txt"


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
        (lambda: network(shape=(None, None, 3)), "takes images of any size; choose one with --size"),
        (
            lambda: network(shape=(100_000, 100_000, 3)),
            "takes images of 100000x100000 pixels; each edge may have at most 4,096",
        ),
        (lambda: network(outputs=5), "names 3 labels; the model gives 5 scores"),
        (lambda: network(), "does not say how its pixels were scaled in training; name it with --pixels"),
    ],
)
def test_models_that_do_not_classify_are_refused(
    made: Callable[[], Any], words: str, tmp_path: Path, labels: Path
) -> None:
    made().save(tmp_path / "made.keras")
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(tmp_path / "made.keras"), labels=labels), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("save", [as_keras, as_saved_model])
def test_each_image_has_one_row_of_scores(save: Any, tmp_path: Path, labels: Path) -> None:
    image = keras.Input((8, 8, 3))
    rows = keras.ops.reshape(layers.Dense(6)(layers.Flatten()(image)), (-1, 3))
    file = save(tmp_path, keras.Model(image, rows))
    with pytest.raises(SourceError, match=r"gives \[32, 3\] for 16 images; it must give one row of 3 numbers for each"):
        import_model(ImportOptions(str(file), labels=labels, pixels="unit", outputs="logits"), tmp_path / "out")


@pytest.mark.parametrize("save", [as_keras, as_saved_model, as_lite])
def test_whole_numbers_are_no_scores(save: Any, tmp_path: Path, labels: Path) -> None:
    image = keras.Input((8, 8, 3))
    numbers = keras.ops.cast(layers.Dense(3, activation="softmax")(layers.Flatten()(image)), "int32")
    file = save(tmp_path, keras.Model(image, numbers))
    with pytest.raises(
        SourceError, match=r"gives '.+' as int32; it must give an array of real numbers, a score for each"
    ):
        import_model(ImportOptions(str(file), labels=labels, pixels="unit", outputs="logits"), tmp_path / "out")


def test_options_for_architectures_are_refused_with_files(tmp_path: Path, labels: Path) -> None:
    network().save(tmp_path / "made.keras")
    with pytest.raises(SourceError, match="--weights and --alpha need a name of the catalog"):
        import_model(ImportOptions(str(tmp_path / "made.keras"), labels=labels, weights="none"), tmp_path / "out")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_code_in_a_model_is_not_run(suffix: str, tmp_path: Path, labels: Path) -> None:
    made = network(layers.Lambda(lambda x: x / 255))
    made.save(tmp_path / f"made.{suffix}")
    with pytest.raises(SourceError, match="holds a Lambda layer, which runs code that comes with the file"):
        import_model(ImportOptions(str(tmp_path / f"made.{suffix}"), labels=labels), tmp_path / "out")


def test_a_custom_class_is_refused(tmp_path: Path, labels: Path) -> None:
    network().save(tmp_path / "made.keras")
    with zipfile.ZipFile(tmp_path / "made.keras") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system", "registered_name": None}
    with zipfile.ZipFile(tmp_path / "made.keras", "w") as file:
        for name, data in {**parts, "config.json": json.dumps(config).encode()}.items():
            file.writestr(name, data)
    with pytest.raises(SourceError, match="it must hold only Keras' own layers"):
        import_model(ImportOptions(str(tmp_path / "made.keras"), labels=labels), tmp_path / "out")


def test_a_graph_that_reads_files_is_refused(tmp_path: Path, labels: Path) -> None:
    class Spy(tf.Module):  # type: ignore[misc]
        @traced(None, 20, 16, 3)
        def score(self, images: Any) -> Any:
            read = tf.strings.length(tf.io.read_file("/etc/hostname"))
            return {"scores": tf.zeros((tf.shape(images)[0], 3)) + tf.cast(read, tf.float32)}

    spy = Spy()
    tf.saved_model.save(spy, str(tmp_path / "spy"), signatures=spy.score)
    with pytest.raises(SourceError, match="runs ReadFile "):
        import_model(ImportOptions(str(tmp_path / "spy"), labels=labels, pixels="unit"), tmp_path / "out")


def test_numbers_outside_0_to_1_are_refused_as_probabilities(tmp_path: Path, labels: Path) -> None:
    source = as_saved_model(tmp_path, network(activation=None))
    order = ImportOptions(str(source), labels=labels, pixels="raw", outputs="probabilities")
    with pytest.raises(SourceError, match=r"gives numbers from -?[\d.]+ to [\d.]+ as probabilities"):
        import_model(order, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("made.keras", b"nonsense", r"is not a Keras model: it is neither a zip \(\.keras\) nor HDF5"),
        ("made.h5", b"nonsense", "is not a Keras model"),
        ("made.tflite", b"nonsense", "is not a model that LiteRT can load"),
        ("made.onnx", b"nonsense", "is not an ONNX model, or it is truncated or damaged"),
        ("made.dat", b"nonsense", r"has no known format; a model is a \.keras, \.h5, \.hdf5, \.tflite, \.onnx file"),
        ("gone.onnx", None, r"gone\.onnx does not exist"),
        ("made", None, r"holds no saved_model\.pb"),
        ("gone.keras", None, "gone.keras does not exist"),
        ("gone.tflite", None, "gone.tflite does not exist"),
        ("gone.pb", None, "gone.pb does not exist"),
    ],
)
def test_files_that_are_no_models_are_refused(name: str, data: bytes | None, words: str, tmp_path: Path) -> None:
    if data:
        (tmp_path / name).write_bytes(data)
    elif "." not in name:
        (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(tmp_path / name)), tmp_path / "out")


def test_another_content_gets_another_version(tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network().save(tmp_path / "made.keras")
    versions = []
    for pixels in ("unit", "unit", "tf", "unit"):
        order = ImportOptions(str(tmp_path / "made.keras"), labels=labels, pixels=pixels, engines=("savedmodel",))
        versions.append(import_model(order, tmp_path / "out").version)
    assert versions[-2:] != versions[:2] and len(set(versions)) >= 3
    assert versions == sorted(versions) and versions[0] == "1.0.0"
    assert f"holds made 1.0.0 already; this one is {versions[2]}" in capsys.readouterr().err


def test_an_inaccurate_engine_is_not_kept(tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network().save(tmp_path / "made.keras")
    order = ImportOptions(str(tmp_path / "made.keras"), labels=labels, pixels="unit", engines=("litert",))
    before = import_model(order, tmp_path / "out").digest
    monkeypatch.setattr(variants, "score_all", lambda engine, images: np.full((len(images), 3), 1 / 3, np.float32))
    with pytest.raises(ExportError, match="litert does not score as the model does"):
        import_model(order, tmp_path / "out")
    assert read_artifact(tmp_path / "out").digest == before
    assert not list(tmp_path.glob("*.packing"))


FULL_DISK = """
import resource, sys
from model.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # every larger file is one that does not fit
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_reported_and_leaves_the_output_unchanged(root: Path, tmp_path: Path, labels: Path) -> None:
    network().save(tmp_path / "made.keras")
    order = ImportOptions(str(tmp_path / "made.keras"), labels=labels, pixels="unit", engines=("litert",))
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
    assert "the previous artifact is unchanged" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_artifact(tmp_path / "out").digest == before
    assert not list(tmp_path.glob("*.packing"))


def test_two_imports_to_one_folder_do_not_mix_their_files(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []
    for name in ("first", "second"):
        network().save(tmp_path / f"{name}.keras")
        more: dict[str, Any] = {"name": name, "pixels": "unit", "engines": ("litert",)}
        orders.append(ImportOptions(str(tmp_path / f"{name}.keras"), labels=labels, **more))

    def meanwhile(targets: Any) -> Any:
        monkeypatch.setattr(variants, "measure_speeds", lambda targets: [UNMEASURED for _ in targets])
        assert import_model(orders[1], tmp_path / "out").name == "second"
        return [UNMEASURED for _ in targets]

    monkeypatch.setattr(variants, "measure_speeds", meanwhile)
    assert import_model(orders[0], tmp_path / "out").name == "first"
    assert read_artifact(tmp_path / "out").name == "first"
    assert {path.suffix for path in tmp_path.iterdir()} == {".keras", ".txt", ""}


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

    monkeypatch.setattr(variants, "measure_speeds", interrupt)
    assert main([*command[:-4], str(tmp_path / "other"), "--engines", "litert"]) == 130
    assert capsys.readouterr().err.endswith("model import: interrupted\n")
    assert {path.name for path in tmp_path.iterdir()} == {"made.keras", "labels.txt", "out"}


def test_sigterm_leaves_nothing(root: Path, tmp_path: Path, labels: Path) -> None:
    network().save(tmp_path / "made.keras")
    command = ["import", str(tmp_path / "made.keras"), "--labels", str(labels), "--pixels", "unit"]
    process = subprocess.Popen(
        [sys.executable, "-m", "model", *command, "--out", str(tmp_path / "out")],
        cwd=root, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("forms-*/*.tflite")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    _, said = process.communicate(timeout=100)
    assert (process.returncode, said.splitlines()[-1]) == (130, "model import: interrupted")
    assert {path.name for path in tmp_path.iterdir()} == {"made.keras", "labels.txt"}


def test_only_an_artifact_or_an_empty_folder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    network(layers.Rescaling(1 / 255)).save("a.keras")
    Path("labels.txt").write_text("cat\ndog\neel\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"the only copy")
    for out, words in (
        ("photos", "photos holds files of another kind, which an artifact would replace; choose another"),
        (".", "holds files of another kind"),
        ("labels.txt", "labels.txt is a file, which an artifact would replace"),
    ):
        assert main(["import", "a.keras", "--labels", "labels.txt", "--out", out]) == 1
        assert words in capsys.readouterr().err
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"the only copy"
    (tmp_path / "empty").mkdir()
    options = ImportOptions("a.keras", labels=Path("labels.txt"), engines=("litert",))
    for _ in range(2):
        assert import_model(options, tmp_path / "empty").engines == ("litert",)
