"""An ONNX file is imported and served by a real worker of the local twin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import require
from tests.service.test_up import UP, running

pytest.importorskip("tensorflow", reason="no TensorFlow: pip install -r model/requirements.txt")
require("onnx")
require("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from model.__main__ import main  # noqa: E402
from model.training.export import variants  # noqa: E402
from tests.fakes import UNMEASURED  # noqa: E402
from tests.onnx_models import model, saved  # noqa: E402

COLOURS = "red", "green", "blue"


def test_a_worker_serves_an_onnx_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    matrix = numpy_helper.from_array(9 * np.eye(3, dtype=np.float32), "matrix")
    made = model(nodes, [("images", TensorProto.FLOAT, ["n", 3, 32, 32])], arrays=[matrix])
    (tmp_path / "labels.txt").write_text("\n".join(COLOURS))
    monkeypatch.setattr(variants, "measure_speeds", lambda targets, *_: [UNMEASURED for _ in targets])
    command = ["import", str(saved(tmp_path / "colours.onnx", made)), "--labels", str(tmp_path / "labels.txt")]
    assert main([*command, "--pixels", "unit", "--out", str(tmp_path / "out")]) == 0
    digest = json.loads((tmp_path / "out" / "manifest.json").read_text())["digest"]
    capsys.readouterr()

    (tmp_path / "photos").mkdir()
    for colour in COLOURS:
        Image.new("RGB", (60, 40), colour if colour != "green" else "lime").save(tmp_path / "photos" / f"{colour}.png")
    monkeypatch.setenv("ARTIFACT", str(tmp_path / "out"))
    monkeypatch.setenv("ENGINE", "onnx")
    with running(root, tmp_path / "worker.log") as twin:
        assert twin.ready(), twin.said
        printed = subprocess.run(
            [*UP, "--env", str(twin.process.pid)], cwd=root, capture_output=True, text=True, timeout=20
        ).stdout
        environment = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
        done = subprocess.run(
            [sys.executable, "-m", "client", "publish", str(tmp_path / "photos"), "--json"],
            env={**os.environ, "PYTHONPATH": str(root), **environment},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    responses = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(each["file"]).stem for each in responses} == set(COLOURS)
    for each in responses:
        predicted, served = each["response"]["predictions"][0], each["response"]["model"]
        assert Path(each["file"]).stem == predicted["label"]
        assert (served["digest"], served["engine"]) == (digest, "onnx")
        assert predicted["score"] > 0.9
