"""The int8 variant of an ONNX file is compared like LiteRT's variants, and served when it predicts as the file does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.artifact.load import Artifact, load_engine
from model.engines import onnx
from model.engines.base import Scores
from model.engines.onnx import OnnxEngine
from model.training.export import variants
from model.training.export.benchmark import Speed, Target
from model.training.importing.import_model import ImportOptions, import_model
from tests.conftest import require
from tests.fakes import UNMEASURED

require("onnx")
require("onnxruntime")
from onnx import helper, numpy_helper  # noqa: E402

from tests.onnx_models import EDGES, model, saved  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_onnx2tf")

LABELS = "red", "green", "blue"


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds that need no measuring: int8 is the faster variant."""

    def speed(target: Target) -> Speed:
        rate = 2.0 if target.model.stem == "int8" else 1.0
        return replace(UNMEASURED, rates=dict.fromkeys(UNMEASURED.rates, rate), rounds=(rate, rate))

    monkeypatch.setattr(variants, "measure_speeds", lambda targets: [speed(target) for target in targets])


def colours(share: float = 1.0, *, opset: int = 17) -> Any:
    """A network that finds an image's brightest channel.

    Its first convolution multiplies the colours by `share`, for the second one to undo it, and keeps the images in
    three further maps: with a small share, 8 bits for all maps together hold nothing of the colours.
    """
    small = np.zeros((6, 3, 3, 3), np.float32)
    small[range(3), range(3), 1, 1] = share
    small[range(3, 6), range(3), 1, 1] = 1.0
    large = np.zeros((3, 6, 1, 1), np.float32)
    large[range(3), range(3), 0, 0] = 20 / share
    arrays = [numpy_helper.from_array(small, "small"), numpy_helper.from_array(large, "large")]
    nodes = [
        helper.make_node("Conv", ["images", "small"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("Conv", ["positive", "large"], ["evidence"]),
        helper.make_node("GlobalAveragePool", ["evidence"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["scores"], axis=1),
    ]
    return model(nodes, arrays=arrays, opset=opset)


def imported(folder: Path, made: Any, data: bool = True) -> Artifact:
    """Import a network, with twelve images of each colour."""
    rng = np.random.default_rng(0)
    for number, label in enumerate(LABELS * 12):
        pixels = rng.integers(0, 120, (*EDGES, 3))
        pixels[..., LABELS.index(label)] += 100
        path = folder / "photos" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (folder / "labels.txt").write_text("\n".join(LABELS))
    source = str(saved(folder / "made.onnx", made))
    options = ImportOptions(
        source, labels=folder / "labels.txt", pixels="unit", data=folder / "photos" if data else None
    )
    return import_model(options, folder / "out")


def engine_entry(artifact: Artifact) -> dict[str, Any]:
    (entry,) = json.loads((artifact.folder / "manifest.json").read_text())["engines"]
    return dict(entry)


def test_int8_is_served_when_it_is_faster_and_agrees(tmp_path: Path) -> None:
    artifact = imported(tmp_path, colours())
    assert engine_entry(artifact)["variant"] == "int8"
    card = (artifact.folder / "MODEL_CARD.md").read_text()
    assert "| unconverted | 100.00% | 0.00 |" in card and "| **int8**, served | 100.00% | 0.00 |" in card
    name, engine = load_engine(artifact)
    plain = OnnxEngine(tmp_path / "made.onnx", artifact.signature)
    images = np.random.default_rng(1).random((40, *EDGES, 3), np.float32)
    served, own = engine.score(images), plain.score(images)
    assert name == "onnx"
    np.testing.assert_allclose(served.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(served, own, atol=0.15)
    assert np.abs(served - own).max() > 0, "8 bits cannot be exact"
    for each in (engine, plain):
        each.close()


def test_int8_that_changes_predictions_is_measured_and_not_served(tmp_path: Path) -> None:
    artifact = imported(tmp_path, colours(share=1e-4))
    assert "variant" not in engine_entry(artifact)
    assert (artifact.folder / "model.onnx").read_bytes() == (tmp_path / "made.onnx").read_bytes()
    assert "| int8, does not pass |" in (artifact.folder / "MODEL_CARD.md").read_text()


def test_what_cannot_be_quantised_is_said_and_served_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = imported(tmp_path, colours(opset=9))
    assert "variant" not in engine_entry(artifact)
    assert "int8 cannot be made: " in (artifact.folder / "MODEL_CARD.md").read_text()
    assert "onnx int8 cannot be made: " in capsys.readouterr().err


def test_without_images_nothing_is_quantised(tmp_path: Path) -> None:
    artifact = imported(tmp_path, colours(), data=False)
    assert (artifact.folder / "model.onnx").read_bytes() == (tmp_path / "made.onnx").read_bytes()
    assert "int8" not in (artifact.folder / "MODEL_CARD.md").read_text()


def test_the_way_of_processors_that_overflow_gives_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = imported(tmp_path, colours())
    images = np.random.default_rng(1).random((40, *EDGES, 3), np.float32)

    def scores(overflows: bool) -> Scores:
        monkeypatch.setattr(onnx, "_overflows", lambda: overflows)
        engine = OnnxEngine(artifact.folder / "model.onnx", artifact.signature)
        try:
            return engine.score(images)
        finally:
            engine.close()

    np.testing.assert_allclose(scores(False), scores(True), atol=0.02)
