"""The rows that `make bench` writes: one format, every entry point. Speed is not tested here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from client.plan.measurements import read

UNITS = {"cold_start": "s", "start": "ms", "import": "ms", "throughput": "images/s", "memory": "MB"}
OTHER_UNITS = {"of the loop": "1", "growth": "MB per 100,000 requests"}


def test_benchmark_rows_have_one_format(root: Path, tmp_path: Path) -> None:
    amount = ["--runs", "1", "--images", "20", "--requests", "200"]
    few = [*amount, "--model", "fashion-mnist", "--engine", "litert", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "cold_start", "load", "memory", *few],
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    paths = [tmp_path / f"{name}.json" for name in ("cold_start", "throughput", "memory")]
    rows: dict[str, dict[str, Any]] = {row["name"]: row for path in paths for row in json.loads(path.read_text())}
    for name, row in rows.items():
        assert row.keys() == {"name", "value", "unit", "machine", "runs"}
        assert row["unit"] == OTHER_UNITS.get(name.split(".")[-2], UNITS[name.split(".")[0]])
        assert row["value"] >= 0 or "growth" in name
        assert row["machine"]["cpus"] == (1 if ".one_cpu." in name else os.cpu_count())
        assert "CPUs" in row["machine"]["words"]
        assert name.rpartition(".")[0].split(".", 1)[1] in done.stdout, "the table has a line for it"
    for entry_point in ("push", "pull"):
        assert {
            f"cold_start.fashion-mnist.{entry_point}.litert",
            f"memory.fashion-mnist.{entry_point}.at load.litert",
        } <= rows.keys()
        assert rows[f"throughput.fashion-mnist.{entry_point}.litert"]["value"] > 1
        steps = ("interpreter", "imports", "model", "first answer", "first publish")
        assert all(rows[f"start.fashion-mnist.{entry_point}.{step}.litert"]["value"] > 0 for step in steps)
        assert rows[f"import.numpy.{entry_point}"]["value"] > 1
    assert read(paths) == {}, "what plan reads has names of its own"
