"""ONNX files whose meaning is not certain: the import refuses them, or asks, and does not serve wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.engines.base import Scores, Signature
from model.training.errors import SourceError
from model.training.export.parity import probes, reference_scores
from model.training.export.source import Source
from model.training.importing.import_model import ImportOptions, open_source, signature_for
from tests.conftest import require

require("onnx")
require("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.onnx_models import EDGES, model, network, saved, weights  # noqa: E402

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node


def constant(name: str, value: Any) -> Any:
    return numpy_helper.from_array(np.asarray(value), name)


def linear(
    end: Sequence[Any], kind: int = FLOAT, shape: Sequence[Any] = ("n", 3), *, images: str = "images", **more: Any
) -> Any:
    """A model that makes `logits` of the tensor `images`, and `scores` of these by the nodes `end`."""
    arrays = [constant("matrix", weights()[0]), constant("offset", weights()[1]), *more.pop("arrays", ())]
    start = [*more.pop("start", ()), node("Flatten", [images], ["flat"])]
    nodes = [*start, node("Gemm", ["flat", "matrix", "offset"], ["logits"], transB=1), *end]
    return model(nodes, outputs=[("scores", kind, shape)], arrays=arrays, **more)


SOFTMAX = node("Softmax", ["logits"], ["scores"])


def function(name: str, operator: str) -> Any:
    """A function of the domain `own` that has the name of an operator, and is another one."""
    takes = ["x", "k"][: 2 if name == "Mul" else 1]
    return helper.make_function(
        "own", name, takes, ["y"], [node(operator, ["x"], ["y"])], [helper.make_opsetid("", 17)]
    )


def opened(path: Path, made: Any, **more: Any) -> tuple[Source, Signature]:
    (path / "labels.txt").write_text("cat\ndog\neel\n")
    file = saved(path / "m.onnx", made)
    options = ImportOptions(str(file), labels=path / "labels.txt", **{"pixels": "unit", **more})
    source = open_source(options)
    return source, signature_for(source, options)


def scored(path: Path, made: Any, **more: Any) -> Scores:
    source, signature = opened(path, made, **more)
    return reference_scores(source, probes(signature), signature)


def labels_and_maps() -> Any:
    """A model as scikit-learn's converter makes it: the number of the label, and a map of the probabilities."""
    made = linear(
        [
            node("Softmax", ["logits"], ["p"]),
            node("ArgMax", ["logits"], ["scores"], axis=1, keepdims=0),
            node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
        ],
        INT64,
        ["n"],
        domains=["ai.onnx.ml"],
    )
    maps = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    made.graph.output.append(helper.make_value_info("maps", helper.make_sequence_type_proto(maps)))
    return made


def sequence() -> Any:
    made = linear([node("SequenceConstruct", ["logits"], ["scores"])])
    made.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("scores", FLOAT, ["n", 3]))
    return made


@pytest.mark.parametrize(
    ("made", "more", "words"),
    [
        (labels_and_maps(), {}, r"gives 2 arrays \(scores, maps\)"),
        (labels_and_maps(), {"output": "maps"}, r"gives 'maps' as seq\(map\(.*it must be an array: convert it with"),
        (labels_and_maps(), {"output": "scores"}, r"gives 'scores' as tensor\(int64\); it must give an array of real"),
        (sequence(), {}, r"gives 'scores' as seq\(tensor\(float\)\); it must give an array of real numbers"),
        (
            linear([node("Softmax", ["logits"], ["p"]), node("Cast", ["p"], ["scores"], to=INT64)], INT64),
            {},
            r"gives 'scores' as tensor\(int64\); it must give an array of real numbers, a score for each label",
        ),
        (
            linear([node("Greater", ["logits", "offset"], ["scores"])], TensorProto.BOOL),
            {"outputs": "multilabel-probabilities"},
            r"gives 'scores' as tensor\(bool\)",
        ),
        (network(kind=TensorProto.INT8), {}, r"takes tensor\(int8\); it must take float32, float16, float64 or uint8"),
        (network(batch=257), {}, "takes batches of 257 images, at most 256 are allowed"),
        (network(batch=1 << 31), {}, "takes batches of 2,147,483,648 images, at most 256 are allowed"),
    ],
)
def test_other_kinds_of_inputs_and_outputs_are_refused(made: Any, more: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        opened(tmp_path, made, **more)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (linear([node("Concat", ["logits", "logits"], ["scores"], axis=0)], shape=["m", 3]), r"gives \[32, 3\] for 16"),
        (linear([node("ReduceMean", ["logits"], ["scores"], axes=[0])], shape=[1, 3]), r"gives \[1, 3\] for 16 images"),
        (
            linear(
                [
                    node("Concat", ["logits", "logits"], ["wide"], axis=1),
                    node("Reshape", ["wide", "rows"], ["scores"]),
                ],
                shape=["m", 3],
                arrays=[constant("rows", np.array([-1, 3], np.int64))],
            ),
            r"gives \[32, 3\] for 16 images; each image must have one row",
        ),
    ],
)
def test_each_image_has_one_row_of_scores(made: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=said):
        scored(tmp_path, made, outputs="logits")


def test_scores_of_nan_are_refused_also_for_faint_images_alone(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gives NaN or infinity for some images; every score must be a number"):
        scored(tmp_path, linear([node("Log", ["logits"], ["scores"])]), outputs="logits")
    # The scores of an image are NaN where all its pixels are dark.
    faint = [
        node("ReduceMax", ["flat"], ["brightest"], axes=[1]),
        node("Less", ["brightest", "dark"], ["is_dark"]),
        node("Where", ["is_dark", "nan", "one"], ["factor"]),
        node("Mul", ["logits", "factor"], ["scores"]),
    ]
    arrays = [constant(name, np.float32(value)) for name, value in (("dark", 0.05), ("nan", "nan"), ("one", 1))]
    with pytest.raises(SourceError, match="scores the same image differently a second time, by nan"):
        scored(tmp_path, linear(faint, arrays=arrays), outputs="logits")


@pytest.mark.parametrize(
    "made",
    [
        linear([node("Softmax", ["logits"], ["scores"], domain="own")], functions=[function("Softmax", "Identity")]),
        linear(
            [node("Softmax", ["logits"], ["p"]), node("Cast", ["p"], ["scores"], domain="own")],
            functions=[function("Cast", "Neg")],
        ),
    ],
)
def test_a_function_is_not_taken_for_the_operator_of_its_name(made: Any, tmp_path: Path) -> None:
    made.opset_import.append(helper.make_opsetid("own", 1))
    with pytest.raises(SourceError, match="does not say what its outputs mean"):
        opened(tmp_path, made)


def test_a_function_called_mul_does_not_scale_the_pixels(tmp_path: Path) -> None:
    made = linear(
        [SOFTMAX],
        images="scaled",
        start=[node("Mul", ["images", "k"], ["scaled"], domain="own")],
        arrays=[constant("k", np.float32(1 / 255))],
        functions=[function("Mul", "Identity")],
        domains=["own"],
    )
    with pytest.raises(SourceError, match="does not say how its pixels were scaled"):
        opened(tmp_path, made, pixels=None)


@pytest.mark.parametrize(
    ("start", "arrays"),
    [
        ([node("Constant", [], ["k"], value_float=255.0)], []),
        ([node("Constant", [], ["k"], value_floats=[255.0])], []),
        ([node("Constant", [], ["a"], value_int=255), node("Cast", ["a"], ["k"], to=FLOAT)], []),
        ([node("Cast", ["a"], ["k"], to=FLOAT)], [constant("a", np.int64(255))]),
        ([node("Identity", ["a"], ["k"])], [constant("a", np.float32(255))]),
        ([node("Mul", ["a", "b"], ["k"])], [constant("a", np.float32(5)), constant("b", np.float32(51))]),
        ([node("Mul", ["a", "a"], ["b"]), node("Identity", ["b"], ["k"])], [constant("a", np.float32(255**0.5))]),
    ],
)
def test_pixels_are_not_scaled_twice_whatever_the_constant_is_made_of(start: Any, arrays: Any, tmp_path: Path) -> None:
    made = linear([SOFTMAX], images="scaled", start=[*start, node("Div", ["images", "k"], ["scaled"])], arrays=arrays)
    with pytest.raises(SourceError, match=r"scales them itself, by 0\.00392, so they would be scaled twice"):
        opened(tmp_path, made)
    source, signature = opened(tmp_path, made, pixels=None)
    assert source.ends.gain == pytest.approx(1 / 255)
    assert signature.preprocessing["steps"][-1] == {"op": "scale", "factor": 1.0, "offset": 0.0}


def test_probabilities_that_do_not_sum_to_1_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored(tmp_path, network(last="HardSigmoid"), outputs="probabilities")
    said = capsys.readouterr().err
    assert "for an image, and probabilities of labels that exclude each other sum to 1" in said
    scored(tmp_path, network(), outputs="probabilities")
    scored(tmp_path, network(last="HardSigmoid"), outputs="multilabel-probabilities")
    assert "sum to 1" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("w\0.bin", r"keeps weights in 'w\\x00\.bin'; they must be in files in its own folder"),
        (f"{'./' * 100}../../etc/passwd", "the name of a file with weights has more than 200 bytes"),
    ],
)
def test_odd_names_of_files_with_weights_are_refused(name: str, words: str, tmp_path: Path) -> None:
    made = network()
    array = made.graph.initializer[0]
    array.ClearField("raw_data")
    array.data_location = TensorProto.EXTERNAL
    for key, value in (("location", name), ("length", str(EDGES[0] * EDGES[1] * 36))):
        array.external_data.add(key=key, value=value)
    with pytest.raises(SourceError, match=words):
        opened(tmp_path, made)


def test_imagenet_s_labels_are_not_given_in_silence(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "m.onnx", network(labels=1000))
    options = ImportOptions(str(file), pixels="unit")
    assert signature_for(open_source(options), options).labels[258] == "Samoyed"
    said = capsys.readouterr().err
    assert "m.onnx does not say its labels; it gets ImageNet's, because it gives 1,000 scores. If it was" in said
    (tmp_path / "labels.txt").write_text("".join(f"label {n}\n" for n in range(1000)))
    options = ImportOptions(str(file), pixels="unit", labels=tmp_path / "labels.txt")
    assert signature_for(open_source(options), options).labels[258] == "label 258"
    assert "ImageNet" not in capsys.readouterr().err


def test_one_score_needs_two_labels(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="names 3 labels; the model gives one score, which needs two labels"):
        opened(tmp_path, network(labels=1, last="Sigmoid"))
