"""The comparisons of engines and of versions of Python run, and their rows name every way. Speed is not tested here."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.engines.ways import WAYS

SHIPPED = Path("model/artifacts/fashion-mnist/model.tflite")


def measured(root: Path, out: Path, module: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"tests.bench.{module}", "--turns", "1", "--out", str(out), *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(out.read_text())}


def test_every_way_to_run_the_shipped_model_scores_alike(root: Path, tmp_path: Path) -> None:
    rows = measured(root, tmp_path / "engines.json", "engines", str(root / SHIPPED))
    for way in WAYS[".tflite"]:
        for what in ("load (processor time)", "batch 1 (time)", "batch 32 (processor time)", "memory at batch 8 (MB)"):
            row = rows[f"engine.fashion-mnist.{what}.{way}"]
            assert row["value"] > 0
            assert "same output: True" in row["machine"]["words"]


def test_an_environment_is_measured_through_each_entry_point(root: Path, tmp_path: Path) -> None:
    rows = measured(
        root, tmp_path / "pythons.json", "pythons", "--images", "300", sys.prefix
    )  # the kernel counts in 10 ms
    version = f"Python {platform.python_version().replace('.', '-')}"
    figures = ["start.time", "start.processor time", "start.memory"]
    figures += [f"{entry_point}.for an image" for entry_point in ("push", "pull", "http")]
    assert all(rows[f"{figure}.{version}"]["value"] > 0 for figure in figures)
