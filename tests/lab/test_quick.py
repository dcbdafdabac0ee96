"""`import` as a command: its lines on stderr are the project's own, and `--quick` measures less and says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.library_output import LOG_LEVEL
from model.training.export.model_card import ONCE
from tests.networks import as_saved_model, network

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

OURS = re.compile(
    r"model import: loading TensorFlow|\S+made: scoring 16 images with the model itself|savedmodel: .*"
    r"|(litert )?float32: .*|litert: scores differ by .*|speed 1 of 4: \S+, 1 thread"
    r"|speed \d of 4: .*, about \d+ s left|speed: done in \d+ s"
)


def test_a_quick_import_shows_its_own_lines_only(root: Path, tmp_path: Path) -> None:
    source = as_saved_model(tmp_path, network())
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    command = ["import", str(source), "--labels", str(tmp_path / "labels.txt"), "--pixels", "unit", "--quick", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "model", *command, "--out", str(tmp_path / "out")],
        cwd=root, env={name: value for name, value in os.environ.items() if name != LOG_LEVEL},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["engines"]
    lines = done.stderr.splitlines()
    assert [line for line in lines if not OURS.fullmatch(line)] == []
    assert lines[0] == "model import: loading TensorFlow" and any(line.startswith("speed: done") for line in lines)
    assert f"Each figure {ONCE}." in (tmp_path / "out" / "MODEL_CARD.md").read_text()
