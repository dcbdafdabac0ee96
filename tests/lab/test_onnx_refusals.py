"""ONNX files that cannot be served are refused, in one sentence, and within limits of time and memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.__main__ import main
from model.training.errors import SourceError
from model.training.importing.import_model import import_model
from model.training.importing.onnx_limits import OnnxLimits
from tests.conftest import require

require("onnx")
require("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.lab.onnx_imports import order, two_outputs  # noqa: E402
from tests.onnx_models import EDGES, model, network, saved  # noqa: E402

FLOAT = TensorProto.FLOAT

pytestmark = pytest.mark.usefixtures("unmeasured", "no_onnx2tf")


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
