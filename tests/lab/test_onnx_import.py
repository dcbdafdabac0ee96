"""ONNX files are imported like any other model, within their limits, and served as their own runtime scores them."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.__main__ import main
from model.artifact.load import load_engine
from model.engines.base import Scores
from model.predictor import Predictor
from model.training.errors import SourceError
from model.training.export import variants
from model.training.export.benchmark import Parity
from model.training.export.parity import check_parity
from model.training.importing import onnx_to_lite
from model.training.importing.import_model import ImportOptions, import_model
from model.training.importing.onnx_limits import OnnxLimits
from tests.conftest import require
from tests.fakes import UNMEASURED

require("onnx")
require("onnxruntime")
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.onnx_models import EDGES, logits, model, network, saved, softmax, weights  # noqa: E402

FLOAT = TensorProto.FLOAT


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds that need no measuring, and no other program that may be installed."""
    monkeypatch.setattr(variants, "measure_speeds", lambda targets, *_: [UNMEASURED for _ in targets])
    monkeypatch.setattr(onnx_to_lite, "can_convert", lambda: False)


def order(path: Path, labels: int = 3, **more: Any) -> ImportOptions:
    listed = path.parent / "labels.txt"
    listed.write_text("".join(f"label {n}\n" for n in range(labels)))
    return ImportOptions(str(path), labels=listed, **{"pixels": "unit", **more})


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


def two_outputs() -> Any:
    """Scores, and a second output that takes a path and weights of its own."""
    made = network()
    made.graph.node.append(helper.make_node("MatMul", ["flat", "wide"], ["features"]))
    made.graph.initializer.append(numpy_helper.from_array(np.ones((90, 1_000), np.float32), "wide"))
    made.graph.output.insert(0, helper.make_tensor_value_info("features", FLOAT, ["n", 1_000]))
    return made


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


def slow() -> Any:
    """A graph that counts to 2**62, whatever the image is."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["more"], ["again"]), helper.make_node("Add", ["sum", "sum"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOAT, None),
        ],
    )
    made = network()
    made.graph.node[-1].output[0] = "once"
    made.graph.node.append(helper.make_node("Loop", ["times", "yes", "once"], ["scores"], body=body))
    made.graph.initializer.append(numpy_helper.from_array(np.array(1 << 62), "times"))
    made.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return made


def large() -> Any:
    """A graph that makes an array of ten billion numbers."""
    made = network()
    made.graph.node[-1].output[0] = "once"
    made.graph.initializer.append(numpy_helper.from_array(np.array([100_000, 100_000]), "edges"))
    made.graph.node.append(helper.make_node("ConstantOfShape", ["edges"], ["many"]))
    made.graph.node.append(helper.make_node("ReduceMax", ["many"], ["zero"], keepdims=0))
    made.graph.node.append(helper.make_node("Add", ["once", "zero"], ["scores"]))
    return made


def two_inputs() -> Any:
    nodes = [helper.make_node("Concat", ["left", "right"], ["scores"], axis=0)]
    return model(nodes, [(name, FLOAT, ["n", 3, *EDGES]) for name in ("left", "right")])


def detector() -> Any:
    """Boxes and scores, as detectors give them."""
    nodes = [helper.make_node("Identity", ["images"], [name]) for name in ("boxes", "scores")]
    return model(nodes, outputs=[(name, FLOAT, ["n", 3, *EDGES]) for name in ("boxes", "scores")])


def of_shape(*shape: int | str) -> Any:
    nodes = [helper.make_node("Identity", ["images"], ["scores"])]
    return model(nodes, [("images", FLOAT, shape)], [("scores", FLOAT, shape)])


@pytest.mark.parametrize(
    ("made", "options", "words"),
    [
        (two_inputs, {}, r"takes 2 arrays \(left, right\); a classifier takes one batch of images"),
        (detector, {}, r"gives 2 arrays \(boxes, scores\); .* choose it with --output"),
        (detector, {"output": "boxes"}, r"gives \[N, 3, 6, 5\]; it must give \[N, labels\]"),
        (lambda: of_shape("n", 3, 224, 3), {}, "one of the edges 1 and 3 must be its channels"),
        (lambda: of_shape("n", 7, 8, 9), {}, "one of the edges 1 and 3 must be its channels"),
        (lambda: of_shape(), {}, r"takes \[\]; it must take \[N, height, width, 1 or 3\]"),
        (lambda: network(before=[("Div", 0.0), ("Add", np.nan)]), {}, "gives numbers from nan|gives a range of"),
        (lambda: of_shape("n", 10), {}, r"takes \[N, 10\]; it must take \[N, height, width, 1 or 3\]"),
        (lambda: of_shape("n", 3, 100_000, 100_000), {}, "each edge may have at most 4,096"),
        (lambda: network(labels=5), {}, "names 3 labels; the model gives 5 scores"),
        (
            lambda: network(kind=TensorProto.INT64),
            {},
            r"takes tensor\(int64\); it must take float32, float16",
        ),
        (lambda: network(last=None), {}, r"does not say what its outputs mean \(it ends with linear\)"),
        (lambda: network(last="Tanh"), {}, "does not say what its outputs mean"),
        (network, {"outputs": "logits"}, "--outputs is logits; .* gives probabilities: it ends with softmax"),
        (network, {"pixels": None}, "does not say how its pixels were scaled in training; name it with --pixels"),
        (network, {"engines": ("litert",)}, "the engine is 'litert'; .*made.onnx can be exported to: onnx"),
        (network, {"limits": OnnxLimits(nodes=3)}, r"runs 4 nodes; at most 3 are allowed: --max-nodes allows more"),
        (network, {"limits": OnnxLimits(size=999)}, r"has [\d,]+ bytes with its weights; at most 999 are allowed"),
        (slow, {"limits": OnnxLimits(seconds=3)}, "takes more than 3 s to load and to score an image; --max-seconds"),
        (large, {}, "takes more than 4,000,000,000 bytes of memory to load and to score an image; --max-memory"),
        (lambda: network(opset=29), {}, "uses the operators of ONNX's opset 29"),
        (lambda: model([helper.make_node("Spy", ["images"], ["scores"], domain="a.b")]), {}, r"operator 'a\.b\.Spy'"),
        (lambda: network(before=[("Add", np.ones((1, 3, 6, 4)))]), {}, "ONNX Runtime can load"),
        (
            lambda: model(
                [helper.make_node("RandomNormalLike", ["images"], ["scores"])], outputs=[("scores", FLOAT, None)]
            ),
            {},
            r"gives \[N, 3, 6, 5\]; it must give",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_sentence(
    made: Callable[[], Any], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        import_model(order(saved(tmp_path / "made.onnx", made()), **options), tmp_path / "out")
    assert "\n" not in str(caught.value) and len(str(caught.value)) - len(str(tmp_path)) < 300
    assert not (tmp_path / "out").exists()


def test_scores_that_change_from_time_to_time_are_refused(tmp_path: Path) -> None:
    made = network()
    made.graph.node.insert(0, helper.make_node("RandomNormalLike", ["images"], ["noise"]))
    made.graph.node.insert(1, helper.make_node("Add", ["images", "noise"], ["noisy"]))
    made.graph.node[2].input[0] = "noisy"
    with pytest.raises(SourceError, match="scores the same image differently a second time"):
        import_model(order(saved(tmp_path / "made.onnx", made)), tmp_path / "out")


def test_scores_that_depend_on_the_other_images_are_refused(tmp_path: Path) -> None:
    made = network(last=None)
    made.graph.node.append(helper.make_node("Softmax", ["scores"], ["shares"], axis=0))
    made.graph.output[0].name = "shares"
    with pytest.raises(SourceError, match="scores the same image differently alone"):
        import_model(order(saved(tmp_path / "made.onnx", made)), tmp_path / "out")


@pytest.mark.parametrize("cut", [0, 1, 20, 300])
def test_a_damaged_file_is_refused(cut: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "made.onnx", network())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SourceError, match="is not an ONNX model, or it is truncated or damaged"):
        import_model(order(path), tmp_path / "out")


def test_limits_are_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = order(saved(tmp_path / "made.onnx", two_outputs()))
    command = ["import", options.source, "--labels", str(options.labels), "--pixels", "unit", "--output", "scores"]
    command += ["--out", str(tmp_path / "out"), "--json"]
    for option, value, words in (
        ("--max-nodes", "4", "runs 5 nodes; at most 4 are allowed"),
        ("--max-size", "99", "at most 99 are allowed"),
        ("--max-seconds", "0.001", "--max-seconds is 0.001; it must be from 1 to 86,400"),
        ("--max-memory", "50000000", "takes more than 50,000,000 bytes of memory"),
        ("--max-size", "5000000000", "--max-size is 5e+09; it must be from 1 to 2,147,483,647"),
    ):
        assert main([*command, option, value]) == 1
        assert words in capsys.readouterr().err
    assert main([*command, "--max-nodes", "5", "--max-seconds", "100"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"] == ["onnx"]


class Spy:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "name", ["resnet50.pth", "resnet50.pt", "model.pkl", "pytorch_model.bin", "model.onnx", "model.h5"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_no_pickle_is_loaded(name: str, packed: bool, tmp_path: Path) -> None:
    data = pickle.dumps(Spy(tmp_path / "ran"))
    path = tmp_path / name
    if packed:  # as torch.save writes it
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", data)
            file.writestr("archive/data/0", bytes(100))
    else:
        path.write_bytes(data)
    words = r"holds a pickle, which runs code when it is loaded, so it is not: export the network from PyTorch"
    with pytest.raises(SourceError, match=words):
        import_model(order(path), tmp_path / "out")
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions("MobileNet", alpha=0.25, weights=str(path)), tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_an_old_pickle_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Spy(tmp_path / "ran"), protocol=0))
    with pytest.raises(SourceError, match="holds a pickle, which runs code when it is loaded"):
        import_model(order(tmp_path / "model.pkl"), tmp_path / "out")
    with pytest.raises(SourceError, match=r"gone\.pth does not exist"):
        import_model(order(tmp_path / "gone.pth"), tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_weights_without_a_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "resnet50.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    words = r"resnet50\.safetensors holds weights without the network that they are for: export the network"
    with pytest.raises(SourceError, match=words):
        import_model(order(tmp_path / "resnet50.safetensors"), tmp_path / "out")
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions("ResNet50", weights=str(tmp_path / "resnet50.safetensors")), tmp_path / "out")
