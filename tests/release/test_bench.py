"""The rows that `make bench` writes: one format, every entry point. Speed is not tested here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from client.plan.measurements import read

UNITS = {
    "cold_start": "s",
    "start": "ms",
    "import": "ms",
    "throughput": "images/s",
    "memory": "MB",
    "concurrency": "images/s",
}
OTHER_UNITS = {"of the loop": "1", "of savedmodel": "1", "busy": "1", "growth": "MB per 100,000 requests"}


def bench(root: Path, out: Path, *words: str) -> tuple[str, list[Path]]:
    """Run `python -m tests.bench`: what it prints, and the files of its rows."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *words, "--runs", "1", "--images", "20", "--out", str(out)],
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, sorted(out.glob("*.json"))


def rows_of(paths: list[Path]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for path in paths for row in json.loads(path.read_text())}


def test_benchmark_rows_have_one_format(root: Path, tmp_path: Path) -> None:
    few = ["--requests", "200", "--model", "fashion-mnist", "--engine", "litert"]
    said, paths = bench(root, tmp_path, "cold_start", "load", "memory", *few)
    assert [path.stem for path in paths] == ["cold_start", "memory", "throughput"]
    rows = rows_of(paths)
    for name, row in rows.items():
        assert row.keys() == {"name", "value", "unit", "machine", "runs"}
        assert row["unit"] == OTHER_UNITS.get(name.split(".")[-2], UNITS[name.split(".")[0]])
        assert row["value"] >= 0 or "growth" in name
        assert row["machine"]["cpus"] == (1 if ".one_cpu." in name else os.cpu_count())
        assert "CPUs" in row["machine"]["words"]
        assert name.rpartition(".")[0].split(".", 1)[1] in said, "the table has a line for it"
    for entry_point in ("push", "pull"):
        assert {
            f"cold_start.fashion-mnist.{entry_point}.litert",
            f"memory.fashion-mnist.{entry_point}.at load.litert",
        } <= rows.keys()
        assert rows[f"throughput.fashion-mnist.{entry_point}.litert"]["value"] > 1
        assert rows[f"throughput.fashion-mnist.{entry_point}.of the loop.litert"]["value"] > 0
        steps = ("interpreter", "imports", "model", "first answer", "first publish")
        assert all(rows[f"start.fashion-mnist.{entry_point}.{step}.litert"]["value"] > 0 for step in steps)
        assert rows[f"import.numpy.{entry_point}"]["value"] > 1
    assert read(paths) == {}, "what plan reads has names of its own"
    seconds = dict(re.findall(r"^(\w+) +([\d,]+) s$", said, re.M))
    assert list(seconds) == ["cold_start", "load", "memory", "all"], "the time of each part"


def test_a_quick_run_has_ratios_alone(root: Path, tmp_path: Path) -> None:
    said, paths = bench(root, tmp_path, "--quick", "latency")
    rows = rows_of(paths)
    assert {row["unit"] for row in rows.values()} == {"1"}
    for entry_point in ("push", "pull", "http"):
        for share in (10, 50, 90):
            assert f"of the default.fashion-mnist.{entry_point}.{share}% of the load.p99.off" in rows
    assert "ms" not in said.split()


def test_pushes_are_measured_by_how_many_are_answered_at_once(root: Path, tmp_path: Path) -> None:
    _, paths = bench(root, tmp_path, "concurrency", "--model", "fashion-mnist", "--engine", "litert")
    rates = {name: row["value"] for name, row in rows_of(paths).items() if row["unit"] == "images/s"}
    for number in (8, 16, 32, 80, 160):
        rate = rates[f"concurrency.fashion-mnist.{number} at once.rate.50 ms"]
        assert 0 < rate < number / 0.05, "each waits 50 ms for its publish"
