"""ONNX files are imported like any other model, within their limits, and served as their own runtime scores them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.artifact.load import load_engine
from model.engines.base import Scores
from model.predictor import Predictor
from model.training.errors import SourceError
from model.training.export import variants
from model.training.export.benchmark import Parity
from model.training.export.parity import check_parity
from model.training.importing.import_model import ImportOptions, import_model
from model.training.importing.onnx_limits import OnnxLimits
from tests.conftest import require

require("onnx")
require("onnxruntime")
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.lab.onnx_imports import order, two_outputs  # noqa: E402
from tests.onnx_models import EDGES, logits, network, saved, softmax, weights  # noqa: E402

FLOAT = TensorProto.FLOAT

pytestmark = pytest.mark.usefixtures("unmeasured", "no_onnx2tf")


def images_of(count: int = 9, dtype: Any = np.float32) -> Any:
    images = np.random.default_rng(0).random((count, *EDGES, 3), np.float32)
    return images if dtype == np.float32 else (images * 3).astype(dtype)


def scores_of(options: ImportOptions, out: Path, images: Any) -> Any:
    artifact = import_model(options, out)
    assert artifact.engines == ("onnx",)
    _, engine = load_engine(artifact)
    scores = engine.score(images)
    engine.close()
    return scores


@pytest.mark.parametrize(
    ("made", "options", "expected"),
    [
        ({}, {}, softmax),
        ({"first": False}, {}, softmax),
        ({"batch": 1}, {}, softmax),
        ({"batch": 4, "first": False}, {}, softmax),
        ({"edges": ("h", "w")}, {}, None),
        ({"kind": TensorProto.UINT8}, {"pixels": None}, softmax),
        ({"last": None}, {"outputs": "logits"}, softmax),
        ({"last": "Sigmoid"}, {}, lambda x: 1 / (1 + np.exp(-x))),
        ({"last": "LogSoftmax"}, {}, softmax),
        ({"last": None}, {"outputs": "multilabel-logits"}, lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_a_file_is_served_unchanged_as_its_runtime_scores_it(
    made: dict[str, Any], options: dict[str, Any], expected: Callable[[Any], Any] | None, tmp_path: Path
) -> None:
    path = saved(tmp_path / "made.onnx", network(**made))
    if expected is None:
        with pytest.raises(SourceError, match="takes images of any size; choose one with --size"):
            import_model(order(path, **options), tmp_path / "out")
        return
    images = images_of(dtype=np.uint8 if "kind" in made else np.float32)
    scores = scores_of(order(path, **options), tmp_path / "out", images)
    np.testing.assert_allclose(scores, expected(logits(images, first=made.get("first", True))), atol=1e-5)
    assert (tmp_path / "out" / "model.onnx").read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["parameters"] == 3 * 90 + 3
    assert "onnxruntime" in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_a_file_of_any_size_gets_one(tmp_path: Path) -> None:
    made = network(edges=("h", "w"), labels=2)
    made.graph.node[-3].CopyFrom(helper.make_node("GlobalAveragePool", ["x0"], ["means"]))
    made.graph.node.insert(2, helper.make_node("Flatten", ["means"], ["flat"]))
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.eye(2, 3, dtype=np.float32) * 9, "matrix"))
    artifact = import_model(order(saved(tmp_path / "made.onnx", made), 2, size=24), tmp_path / "out")
    assert (artifact.signature.height, artifact.signature.width) == (24, 24)
    assert load_engine(artifact)[1].score(np.zeros((3, 24, 24, 3), np.float32)).shape == (3, 2)


@pytest.mark.parametrize("name", ["made.dat", "made.bin", "made.keras", "made.tflite"])
def test_the_file_s_name_does_not_matter(name: str, tmp_path: Path) -> None:
    scores = scores_of(order(saved(tmp_path / name, network())), tmp_path / "out", images_of())
    np.testing.assert_allclose(scores, softmax(logits(images_of())), atol=1e-5)


@pytest.mark.parametrize(
    ("before", "factor"),
    [
        ([("Mul", 1 / 255)], 1 / 255),
        ([("Div", 255.0)], 1 / 255),
        ([("Sub", np.full((1, 3, 1, 1), 127.5)), ("Div", 127.5)], 1 / 127.5),
        ([("Sub", np.array([123.7, 116.8, 103.9]).reshape(1, 3, 1, 1))], 1),
    ],
)
def test_a_model_that_scales_its_pixels_gets_them_raw(before: Any, factor: float, tmp_path: Path) -> None:
    path = saved(tmp_path / "made.onnx", network(before=before))
    artifact = import_model(order(path, pixels=None), tmp_path / "out")
    assert artifact.signature.preprocessing["steps"][-1] == {"op": "scale", "factor": 1.0, "offset": 0.0}
    with pytest.raises(SourceError, match=r"the pixels are 'unit'; .* scales them itself"):
        import_model(order(path), tmp_path / "out")


def test_a_normalisation_at_the_start_is_seen(tmp_path: Path) -> None:
    made = network()
    arrays = {"scale": [1, 1, 1], "shift": [0, 0, 0], "mean": [120, 120, 120], "variance": [3600, 3600, 3600]}
    for name, values in arrays.items():
        made.graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32), name))
    made.graph.node[1].input[0] = "normal"
    made.graph.node.insert(1, helper.make_node("BatchNormalization", ["x0", *arrays], ["normal"]))
    artifact = import_model(order(saved(tmp_path / "made.onnx", made), pixels=None), tmp_path / "out")
    assert artifact.signature.preprocessing["steps"][-1]["factor"] == 1.0


def test_one_of_several_outputs_is_chosen_and_served_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "made.onnx", two_outputs())
    words = r"gives 2 arrays \(features, scores\); a classifier gives one row of scores per image: choose it with --ou"
    with pytest.raises(SourceError, match=words):
        import_model(order(path), tmp_path / "out")
    with pytest.raises(SourceError, match=r"the output is 'score'; .* gives features, scores"):
        import_model(order(path, output="score"), tmp_path / "out")
    scores = scores_of(order(path, output="scores"), tmp_path / "out", images_of())
    np.testing.assert_allclose(scores, softmax(logits(images_of())), atol=1e-5)
    assert (tmp_path / "out" / "model.onnx").stat().st_size < path.stat().st_size / 10


def test_a_file_has_no_signatures(tmp_path: Path) -> None:
    path = saved(tmp_path / "made.onnx", network())
    with pytest.raises(SourceError, match=r"the signature is 'first'; only SavedModel folders and \.tflite files"):
        import_model(order(path, signature="first"), tmp_path / "out")


def test_a_multi_label_file_is_compared_by_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[float | None] = []

    def check(engine: str, scores: Scores, reference: Scores, cut: float | None) -> Parity:
        cuts.append(cut)
        return check_parity(engine, scores, reference, cut)

    monkeypatch.setattr(variants, "check_parity", check)
    path = saved(tmp_path / "made.onnx", network(last="Sigmoid"))
    artifact = import_model(order(path, threshold=0.3), tmp_path / "out")
    assert (artifact.signature.multi_label, artifact.signature.threshold, cuts) == (True, 0.3, [0.3])
    _, engine = load_engine(artifact)
    scores = engine.score(images_of() * np.linspace(-1, 1, 9, dtype=np.float32)[:, None, None, None])
    engine.close()
    expected = [{f"label {n}" for n, score in enumerate(row) if score >= 0.3} for row in scores]
    assert [set(Predictor(engine).assigned(row) or ()) for row in scores] == expected
    assert len(set(map(frozenset, expected))) > 1, "images differ in their labels"


@pytest.mark.parametrize("folder", ["", "export/"])
def test_an_archive_holds_a_file_its_weights_and_its_labels(folder: str, tmp_path: Path) -> None:
    path = split(tmp_path, "made.onnx.data")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for name in ("made.onnx", "made.onnx.data"):
            archive.write(tmp_path / name, folder + name)
            (tmp_path / name).unlink()
        archive.writestr("labels.txt", "cat\ndog\neel\n")
    artifact = import_model(ImportOptions(str(tmp_path / "packed.zip"), pixels="unit"), tmp_path / "out")
    assert not path.exists() and artifact.signature.labels == ("cat", "dog", "eel")
    _, engine = load_engine(artifact)
    np.testing.assert_allclose(engine.score(images_of()), softmax(logits(images_of())), atol=1e-5)
    engine.close()


def split(folder: Path, name: str, *, length: int | None = None) -> Path:
    """A model whose matrix is in another file, by this name."""
    made = network()
    matrix = made.graph.initializer[0]
    data = matrix.raw_data
    matrix.ClearField("raw_data")
    matrix.data_location = TensorProto.EXTERNAL
    matrix.external_data.add(key="location", value=name)
    matrix.external_data.add(key="length", value=str(length or len(data)))
    try:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    except OSError:
        pass
    return saved(folder / "made.onnx", made)


@pytest.mark.parametrize("name", ["made.onnx.data", "weights/matrix.bin"])
def test_weights_in_other_files_of_the_folder_are_put_into_the_served_file(name: str, tmp_path: Path) -> None:
    scores = scores_of(order(split(tmp_path, name)), tmp_path / "out", images_of())
    np.testing.assert_allclose(scores, softmax(logits(images_of())), atol=1e-5)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"model.onnx"}
    assert not (tmp_path / "out" / name).exists()


def test_weights_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(weights()[0].tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "inner").symlink_to(tmp_path)
    for name in ("../secret", str(tmp_path / "secret"), "sub/../../secret", "*/_ORT_MEM_ADDR_/*"):
        with pytest.raises(SourceError, match="they must be in files in its own folder"):
            import_model(order(split(folder, name)), tmp_path / "out")
    for name in ("link", "inner/secret"):
        made = split(tmp_path / "other", name)
        made.rename(folder / "made.onnx")
        with pytest.raises(SourceError, match="they must be in files in its own folder"):
            import_model(order(folder / "made.onnx"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "length", "words"),
    [
        ("gone", None, "keeps weights in 'gone', which is not in its folder"),
        ("", None, "keeps weights in '', which is not in its folder"),
        ("short", 1_000_000_000, "ONNX Runtime can load"),
    ],
)
def test_weights_that_are_not_there_are_named(name: str, length: int | None, words: str, tmp_path: Path) -> None:
    path = split(tmp_path, name, length=length)
    if name == "gone":
        (tmp_path / name).unlink()
    with pytest.raises(SourceError, match=words):
        import_model(order(path), tmp_path / "out")


def test_many_arrays_of_one_file_count_each_time(tmp_path: Path) -> None:
    path = split(tmp_path, "matrix")
    made = onnx.load(path, load_external_data=False)
    for number in range(100):
        made.graph.initializer.append(made.graph.initializer[0])
        made.graph.initializer[-1].name = f"again{number}"
    with pytest.raises(SourceError, match=r"has [\d,]+ bytes with its weights; at most 50,000 are allowed"):
        import_model(order(saved(path, made), limits=OnnxLimits(size=50_000)), tmp_path / "out")
