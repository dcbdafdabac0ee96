"""`functions.runtime.fast_start` starts a module like `python -m`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from functions.runtime.memory_tuning import GC_THRESHOLDS

MODULE = "import gc, json, sys; print(json.dumps([__name__, sys.argv, gc.get_threshold()]))"


@pytest.mark.parametrize("before", [[], ["functions.runtime.fast_start"]])
def test_a_started_module_gets_its_name_and_arguments(root: Path, tmp_path: Path, before: list[str]) -> None:
    (tmp_path / "shown.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-m", *before, "shown", "--port", "1"],
        cwd=root,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    name, arguments, threshold = json.loads(done.stdout)
    assert (name, arguments) == ("__main__", [str(tmp_path / "shown.py"), "--port", "1"])
    assert (tuple(threshold) == GC_THRESHOLDS) is bool(before)


def test_a_missing_module_name_prints_the_usage(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "functions.runtime.fast_start"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("usage: ")
