"""Folders that cannot be imported with certainty are refused, each in one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.training.errors import SourceError
from model.training.importing.import_model import ImportOptions, import_model
from tests.conftest import require

require("onnx")
require("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402

from tests.hub_folders import CONFIG, TIMM, VIT, many, repository, segmenter, without  # noqa: E402
from tests.onnx_models import EDGES, model, network, saved  # noqa: E402


def detector() -> Any:
    nodes = [helper.make_node("Identity", ["images"], [name]) for name in ("boxes", "logits")]
    return model(nodes, outputs=[(name, TensorProto.FLOAT, ["n", 3, *EDGES]) for name in ("boxes", "logits")])


@pytest.mark.parametrize(
    ("parts", "options", "words"),
    [
        ({"preprocessor": None}, {}, r"a/onnx/model\.onnx takes images of any size; choose one with --size"),
        (
            {"preprocessor": None, "files": {"model.onnx": network(last=None)}},
            {},
            "does not say how its pixels were scaled in training; name it with --pixels",
        ),
        ({"config": many(5)}, {}, r"config\.json names 5 labels; the model gives 3 scores, one for each label"),
        ({"files": {"model.onnx": detector()}}, {}, r"gives 2 arrays \(boxes, logits\); a classifier gives one row of"),
        ({"files": {"model.onnx": segmenter()}}, {}, r"gives \[N, 3, 6, 5\]; it must give \[N, labels\]"),
        (
            {"config": without(CONFIG, architectures=["DetrForObjectDetection"])},
            {},
            "architectures holds 'DetrForObjectDetection', which is no image classifier",
        ),
        (
            {"config": without(CONFIG, problem_type="regression")},
            {},
            "problem_type is 'regression'; it must be single_la",
        ),
        (
            {"config": without(CONFIG, problem_type="multi_label_classification"), "files": {"model.onnx": network()}},
            {},
            "gives probabilities .* and its configuration says multi_label_classification",
        ),
        (
            {"files": {"model.onnx": network(kind=TensorProto.UINT8, last=None)}},
            {},
            "scales the pixels, and the model ta",
        ),
        ({"preprocessor": without(VIT, size=8)}, {}, r"model\.onnx|makes images of 8x8"),
        (
            {"preprocessor": without(VIT, size=8), "files": {"model.onnx": network(last=None)}},
            {},
            r"config\.json makes images of 8x8 with 3 channels; the model takes 6x5 with 3: write a --recipe",
        ),
        ({}, {"pixels": "tf"}, r"--pixels is tf, and .*preprocessor_config\.json says how pixels are prepared"),
        ({}, {"framing": "squash"}, r"--framing is squash, and .*preprocessor_config\.json says how"),
        (
            {},
            {"outputs": "multilabel-logits"},
            r"--outputs is multilabel-logits; .* gives logits: its configuration says",
        ),
    ],
)
def test_what_is_not_certain_is_refused_in_one_sentence(
    parts: dict[str, Any], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "a", **parts)
    with pytest.raises(SourceError, match=words) as caught:
        import_model(ImportOptions(str(folder), **options), tmp_path / "out")
    assert "\n" not in str(caught.value) and len(str(caught.value)) - 2 * len(str(folder)) < 300
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        (CONFIG, "pytorch_model.bin", r"pytorch_model\.bin holds a pickle, which runs code .* optimum-cli export onnx"),
        (
            {**CONFIG, "architectures": ["PvtForImageClassification"]},
            "model.safetensors",
            r"architectures is '\[\"PvtFor.*\]', and docs/models.md lists .* weights\. .* optimum-cli export .*/onnx",
        ),
        (
            without(CONFIG, architectures=None),
            "model.safetensors",
            r"architectures is missing, and .* optimum-cli .*/onnx",
        ),
        (CONFIG, "weights.safetensors", r"weights; of this architecture model\.safetensors could be imported\. Export"),
        (CONFIG, "flax_model.msgpack", r"weights; of this architecture model\.safetensors could be imported\. Export"),
        (TIMM, "model.safetensors", r"build it with timm\.create_model, and export it with torch\.onnx\.export"),
    ],
)
def test_weights_without_a_network_get_the_way_to_export_it(
    config: dict[str, Any], weights: str, words: str, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "a", config=config, files={})
    (folder / weights).write_bytes(b"\x80\x02")
    with pytest.raises(SourceError, match=rf"holds no \.onnx file; .*{words}"):
        import_model(ImportOptions(str(folder)), tmp_path / "out")


def test_sparse_weights_are_refused(tmp_path: Path) -> None:
    made = network(last=None)
    values = helper.make_tensor("weights", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [90]))
    folder = repository(tmp_path / "a", files={"model.onnx": made})
    with pytest.raises(SourceError, match="sparse"):
        import_model(ImportOptions(str(folder)), tmp_path / "out")


def test_a_file_is_chosen_of_folders_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.onnx", network())
    with pytest.raises(SourceError, match=r"--file is 'b\.onnx', and .*a\.onnx is no folder with \.onnx files"):
        import_model(ImportOptions(str(path), file="b.onnx"), tmp_path / "out")
