"""LiteRT variants of an ONNX file are kept only if they score real images as the file does."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf

from model.artifact.load import load_engine
from model.training.errors import SourceError
from model.training.export.source import Endpoints
from model.training.importing import onnx_source, onnx_to_lite
from model.training.importing.import_model import ImportOptions, import_model
from tests.conftest import require

require("onnx")
require("onnxruntime")

from onnx import helper, numpy_helper  # noqa: E402

from tests.networks import traced  # noqa: E402
from tests.onnx_models import EDGES, logits, model, network, saved, softmax, weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("unmeasured")

Convert = Callable[[Path, Path], Endpoints]


@pytest.fixture
def options(tmp_path: Path) -> ImportOptions:
    """The import of a network, with real images."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = rng.integers(0, 256, (*EDGES, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((40, 48)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    source = str(saved(tmp_path / "made.onnx", network()))
    return ImportOptions(source, labels=tmp_path / "labels.txt", pixels="unit", data=tmp_path / "photos")


def converter(factor: float) -> Convert:
    """Stands in for onnx2tf: writes the same network, whose logits are multiplied by a factor."""

    def convert(path: Path, folder: Path) -> Endpoints:
        matrix, offset = weights()

        class Made(tf.Module):  # type: ignore[misc]
            @traced(None, *EDGES, 3)
            def score(self, images: Any) -> Any:
                flat = tf.reshape(tf.transpose(images, (0, 3, 1, 2)), (-1, matrix.shape[1]))
                return {"scores": tf.nn.softmax(factor * (flat @ matrix.T + offset))}

        made = Made()
        tf.saved_model.save(made, str(folder), signatures=made.score)
        return Endpoints(("serving_default",), "images")

    return convert


def installed(monkeypatch: pytest.MonkeyPatch, convert: Convert) -> None:
    monkeypatch.setattr(onnx_to_lite, "can_convert", lambda: True)
    monkeypatch.setattr(onnx_source, "write_saved_model", convert)


def test_a_form_that_agrees_is_kept(options: ImportOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, converter(1.0))
    artifact = import_model(options, tmp_path / "out")
    assert set(artifact.engines) == {"onnx", "litert"}
    assert not (tmp_path / "out" / "saved_model").exists()
    images = np.random.default_rng(1).random((5, *EDGES, 3), np.float32)
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(images), softmax(logits(images)), atol=0.02)
        engine.close()


def test_a_form_that_differs_is_left_out(
    options: ImportOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(monkeypatch, converter(1.1))
    assert import_model(options, tmp_path / "out").engines == ("onnx",)
    assert "litert is left out: litert does not score as the model does" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.tflite").exists()


def test_a_failed_conversion_leaves_the_file_served(
    options: ImportOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(path: Path, folder: Path) -> Endpoints:
        raise SourceError("onnx2tf fails: it has an operation too many")

    installed(monkeypatch, failing)
    assert import_model(options, tmp_path / "out").engines == ("onnx",)
    assert "is not converted to LiteRT: onnx2tf fails: it has an operation too many" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"data": None}, {"engines": ("onnx",)}])
def test_nothing_is_converted_without_real_images_or_against_the_user_s_will(
    changes: dict[str, Any], options: ImportOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(path: Path, folder: Path) -> Endpoints:
        raise AssertionError("nothing is converted")

    installed(monkeypatch, unwanted)
    assert import_model(replace(options, **changes), tmp_path / "out").engines == ("onnx",)


@pytest.mark.optional
@pytest.mark.skipif(importlib.util.find_spec("onnx2tf") is None, reason="onnx2tf is not installed")
def test_onnx2tf_converts_a_network(options: ImportOptions, tmp_path: Path) -> None:
    """A convolution, as onnx2tf 1.29.24 takes the pixels of `network` in another order, and is then left out."""
    rng = np.random.default_rng(0)
    kernel = numpy_helper.from_array(rng.normal(size=(8, 3, 3, 3)).astype(np.float32), "kernel")
    matrix = numpy_helper.from_array(rng.normal(size=(8, 3)).astype(np.float32), "matrix")
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    saved(Path(options.source), model(nodes, arrays=[kernel, matrix]))
    artifact = import_model(options, tmp_path / "out")
    assert set(artifact.engines) == {"onnx", "litert"}
