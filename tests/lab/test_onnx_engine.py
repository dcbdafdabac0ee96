"""The ONNX engine keeps the promises of an Engine for every form of input. numpy computes the expected scores."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.engines.base import LOGIT, LOGITS, MULTILABEL_LOGITS, PROBABILITIES, PROBABILITY, Signature
from model.engines.onnx import MAX_BATCH, OnnxEngine, open_session
from model.engines.onnx_check import OPSETS
from model.errors import ArtifactError
from tests.conftest import require

require("onnx")
require("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402

from tests.onnx_models import EDGES, logits, model, network, saved, softmax  # noqa: E402

FORMS: dict[str, dict[str, Any]] = {
    "channels first": {},
    "channels last": {"first": False},
    "batches of 1": {"batch": 1},
    "batches of 8, channels last": {"batch": 8, "first": False},
    "edges left open": {"edges": ("h", "w")},
    "half precision": {"kind": TensorProto.FLOAT16},
    "double precision": {"kind": TensorProto.DOUBLE},
    "whole numbers": {"kind": TensorProto.UINT8},
    "one channel": {"channels": 1},
    "oldest operators": {"opset": OPSETS[0]},
    "newest operators": {"opset": OPSETS[-1]},
}

POOLING = [
    helper.make_node("GlobalAveragePool", ["images"], ["means"]),
    helper.make_node("Flatten", ["means"], ["flat"]),
    helper.make_node("Softmax", ["flat"], ["scores"]),
]


def signature(labels: int = 3, channels: int = 3, dtype: str = "float32", outputs: str = PROBABILITIES) -> Signature:
    return Signature(*EDGES, channels, dtype, tuple(f"label {n}" for n in range(labels)), {}, outputs)


def images_of(count: int, like: Signature) -> Any:
    images = np.random.default_rng(count).random((count, *EDGES, like.channels), np.float32)
    return images if like.dtype == "float32" else (3 * images).astype(like.dtype)


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> dict[str, Any]:
    return FORMS[request.param]


@pytest.fixture(scope="module")
def engine(form: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnnxEngine]:
    path = saved(tmp_path_factory.mktemp("onnx") / "model.onnx", network(**form))
    dtype = "uint8" if form.get("kind") == TensorProto.UINT8 else "float32"
    engine = OnnxEngine(path, signature(channels=form.get("channels", 3), dtype=dtype))
    yield engine
    engine.close()


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, MAX_BATCH, MAX_BATCH + 1, 100])
def test_each_image_of_any_batch_gets_its_own_scores(engine: OnnxEngine, form: dict[str, Any], count: int) -> None:
    images = images_of(count, engine.signature)
    before = images.copy()
    scores = engine.score(images)
    expected = softmax(logits(images, first=form.get("first", True)))
    assert scores.dtype == np.float32 and scores.shape == (count, 3)
    np.testing.assert_allclose(scores, expected, atol=0.02 if form.get("kind") == TensorProto.FLOAT16 else 1e-5)
    assert count < 8 or scores.std(axis=0).max() > 0.05, "the images get different scores"
    assert np.array_equal(images, before)
    assert engine.activations(images) is None


def test_concurrent_threads_get_their_own_rows(engine: OnnxEngine) -> None:
    images = images_of(80, engine.signature)
    expected = engine.score(images)

    def work(thread: int) -> bool:
        own = range(10 * thread, 10 * thread + 10)
        for size in (1, 3, 6, 10) * 5:
            rows = own[:size]
            np.testing.assert_allclose(engine.score(images[rows.start : rows.stop]), expected[rows], atol=1e-5)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_images_need_not_be_contiguous_and_scores_are_kept(engine: OnnxEngine) -> None:
    images = images_of(10, engine.signature)
    strided = engine.score(images[::2])
    kept = strided.copy()
    engine.score(images[1::2])
    assert np.array_equal(strided, kept)
    np.testing.assert_allclose(strided, engine.score(images)[::2], atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, *EDGES, 3), "f"),
        np.zeros((*EDGES, 3), "f"),
        np.zeros((1, 3, *EDGES), "f"),
        np.zeros((1, *EDGES, 3)),
    ],
)
def test_a_batch_that_does_not_match_the_signature_is_refused(tmp_path: Path, wrong: Any) -> None:
    engine = OnnxEngine(saved(tmp_path / "model.onnx", network()), signature())
    with pytest.raises(ValueError, match=r"they must be float32 \[N, 6, 5, 3\] with at least one image"):
        engine.score(wrong)


def test_a_closed_engine_refuses_to_score(tmp_path: Path) -> None:
    engine = OnnxEngine(saved(tmp_path / "model.onnx", network()), signature(), threads=2)
    images = images_of(3, engine.signature)
    engine.score(images)
    engine.close()
    engine.close()
    for asked in (engine.score, engine.activations):
        with pytest.raises(RuntimeError, match="closed"):
            asked(images)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_has_the_threads_that_it_is_given(tmp_path: Path, threads: int) -> None:
    options = open_session(saved(tmp_path / "model.onnx", network()), threads).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)


@pytest.mark.parametrize(
    ("outputs", "labels", "scored", "last"),
    [
        (PROBABILITIES, 3, lambda x: softmax(x), "Softmax"),
        (LOGITS, 3, lambda x: softmax(x), None),
        (MULTILABEL_LOGITS, 3, lambda x: 1 / (1 + np.exp(-x)), None),
        (PROBABILITY, 1, lambda x: 1 / (1 + np.exp(-x)), "Sigmoid"),
        (LOGIT, 1, lambda x: 1 / (1 + np.exp(-x)), None),
    ],
)
def test_the_meaning_of_the_outputs_is_applied(
    outputs: str, labels: int, scored: Any, last: str | None, tmp_path: Path
) -> None:
    path = saved(tmp_path / "model.onnx", network(labels=labels, last=last))
    engine = OnnxEngine(path, signature(max(2, labels), outputs=outputs))
    images = images_of(7, engine.signature)
    expected = scored(logits(images, labels))
    expected = np.concatenate([1 - expected, expected], axis=1) if labels == 1 else expected
    np.testing.assert_allclose(engine.score(images), expected, atol=1e-5)


def test_scores_with_two_more_edges_of_length_1_are_rows(tmp_path: Path) -> None:
    """SqueezeNet gives [N, 1000, 1, 1]."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Softmax", ["means"], ["scores"], axis=1),
    ]
    made = model(nodes, outputs=[("scores", TensorProto.FLOAT, ["n", 3, 1, 1])])
    engine = OnnxEngine(saved(tmp_path / "model.onnx", made), signature())
    images = images_of(5, engine.signature)
    np.testing.assert_allclose(engine.score(images), softmax(images.mean(axis=(1, 2))), atol=1e-5)


def test_an_output_of_unknown_shape_is_that_of_the_labels(tmp_path: Path) -> None:
    made = network()
    made.graph.output[0].type.tensor_type.ClearField("shape")
    engine = OnnxEngine(saved(tmp_path / "model.onnx", made), signature())
    images = images_of(5, engine.signature)
    np.testing.assert_allclose(engine.score(images), softmax(logits(images)), atol=1e-5)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: network(labels=4), r"gives float32 \[4\] per image; the signature has float32 \[3\]"),
        (
            lambda: model(POOLING, [("images", TensorProto.FLOAT, ["n", 3, 7, 5])]),
            r"takes float32 \[7, 5, 3\] per image; the signature has float32 \[6, 5, 3\]",
        ),
        (lambda: network(kind=TensorProto.UINT8), r"takes uint8 \[6, 5, 3\] per image"),
        (lambda: network(kind=TensorProto.INT32), r"takes tensor\(int32\) \[6, 5, 3\] per image"),
        (
            lambda: model([helper.make_node("Nonsense", ["images"], ["scores"])]),
            "that ONNX Runtime can load: .*Nonsense",
        ),
        (lambda: model([helper.make_node("Spy", ["images"], ["scores"], domain="com.acme")]), "runs the operator 'com"),
        (lambda: network(opset=OPSETS[-1] + 1), "must be from 7 to 28"),
        (
            lambda: model(
                [helper.make_node("Concat", ["images", "more"], ["scores"], axis=0)],
                [(name, TensorProto.FLOAT, ["n", 3, *EDGES]) for name in ("images", "more")],
            ),
            "has 2 inputs and 1 outputs; it must have one of each",
        ),
    ],
)
def test_a_file_that_is_not_the_signature_s_is_refused(made: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=words):
        OnnxEngine(saved(tmp_path / "model.onnx", made()), signature())


def test_the_range_of_operators_is_onnx_runtime_s(tmp_path: Path) -> None:
    for version in OPSETS:
        open_session(saved(tmp_path / "model.onnx", network(opset=version)))
    with pytest.raises(ArtifactError, match="is not a model that ONNX Runtime can load"):
        open_session(saved(tmp_path / "model.onnx", network(opset=OPSETS[-1] + 1)))


def test_a_file_of_any_name_is_read_as_onnx(tmp_path: Path) -> None:
    """ONNX Runtime reads files named .ort in a format of its own, which the check does not know."""
    engine = OnnxEngine(saved(tmp_path / "model.ort", network()), signature())
    assert engine.score(images_of(2, engine.signature)).shape == (2, 3)


def test_weights_in_other_files_are_not_read(tmp_path: Path) -> None:
    made = network()
    (tmp_path / "weights").write_bytes(made.graph.initializer[0].raw_data)
    made.graph.initializer[0].ClearField("raw_data")
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights"), ("length", str((tmp_path / "weights").stat().st_size))):
        made.graph.initializer[0].external_data.add(key=key, value=value)
    path = saved(tmp_path / "model.onnx", made)
    assert open_session(path), "ONNX Runtime itself would read it"
    with pytest.raises(ArtifactError, match="keeps weights in other files; a served model must hold all its weights"):
        OnnxEngine(path, signature())


def test_a_name_that_is_no_text_is_refused_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "model.onnx", network())
    path.write_bytes(path.read_bytes().replace(b"scores", b"sc\xff\xfees"))
    with pytest.raises(ArtifactError, match=r"ONNX Runtime can load: .*utf-8"):
        OnnxEngine(path, signature())
    assert capfd.readouterr() == ("", "")


def test_a_constant_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    made = network()
    made.graph.initializer[1].dims[:] = [4]
    with pytest.raises(ArtifactError, match="ONNX Runtime can load"):
        OnnxEngine(saved(tmp_path / "model.onnx", made), signature())


def test_the_engine_says_that_the_cpu_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = OnnxEngine(saved(tmp_path / "model.onnx", network()), signature())
    assert engine.device == "CPU"
    assert not caplog.records, "the package onnxruntime has no GPU to miss"


def test_a_gpu_that_onnx_runtime_offers_and_cannot_use_is_missed_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The package onnxruntime stands for onnxruntime-gpu on a machine without a GPU: both then score on the CPU."""
    monkeypatch.setattr("model.engines.onnx.offers_gpu", lambda: True)
    with pytest.warns(UserWarning, match="'CUDAExecutionProvider' is not in available provider names"):
        engine = OnnxEngine(saved(tmp_path / "model.onnx", network()), signature())
    assert engine.device == "CPU"
    [record] = caplog.records
    assert "scores on the CPU, although it could use a GPU: NVIDIA's driver cannot be loaded" in record.getMessage()
