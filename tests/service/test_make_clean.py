"""`make clean` in a copy of the checkout's Makefile."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

KEPT = ["build/artifacts/photos/model.tflite", "build/train/photos/checkpoint.keras", ".venv/lib/__pycache__/x.pyc"]
REMOVED = ["build/bench/worker.json", "build/loose.txt", ".mypy_cache/x", "client/__pycache__/x.pyc"]


def test_trained_models_survive_and_the_rest_goes(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "Makefile", tmp_path)
    for name in (*KEPT, *REMOVED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for _ in range(2):  # and again when there is nothing to remove
        subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True, timeout=20)
        files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert files == {"Makefile", *KEPT}
    shutil.rmtree(tmp_path / "build")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True, timeout=20)
