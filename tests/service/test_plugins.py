"""The pytest plugins of this project, in separate runs: each fails what it must fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SPENDS = """\
import time

def test_a_test_that_spends_processor_time():
    until = time.process_time() + 0.6
    while time.process_time() < until: ...
"""
CATCHES = """\
import subprocess

def test_a_test_that_catches_everything():
    try:
        subprocess.run(["true"])
    except BaseException:
        pass
"""
SKIPS = 'import pytest\n\ndef test_skips():\n    pytest.skip("no emulator")\n'


def run(root: Path, checkout: Path, plugin: str, test: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one unit test of another checkout with one plugin of ours."""
    (checkout / "tests" / "unit").mkdir(parents=True)
    (checkout / "tests" / "unit" / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", f"tests.{plugin}", "--rootdir", str(checkout), str(checkout)]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull],
        cwd=root,
        env=os.environ | {"CI": ""} | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_folder_over_its_budget_fails_under_ci(ci: str, status: int, root: Path, tmp_path: Path) -> None:
    budget = tmp_path / "budget.toml"
    budget.write_text("[seconds]\nunit = 0.5\n")
    done = run(root, tmp_path / "checkout", "budget", SPENDS, CI=ci, TESTS_BUDGET=str(budget))
    assert done.returncode == status, done.stdout
    assert re.search(r"^unit +1 tests, +0\.[6-9] s of 0 s processor time", done.stdout, re.M), done.stdout
    assert "OVER BUDGET: tests/unit took 1 s" in done.stdout


def test_a_unit_test_that_starts_a_process_fails_whatever_it_catches(root: Path, tmp_path: Path) -> None:
    done = run(root, tmp_path / "checkout", "isolation", CATCHES)
    assert done.returncode == 1
    assert "is in tests/unit and called Popen.__init__(['true']" in done.stdout


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_skipped_tests_fail_under_ci(ci: str, status: int, root: Path, tmp_path: Path) -> None:
    done = run(root, tmp_path / "checkout", "complete", SKIPS, CI=ci)
    assert done.returncode == status, done.stdout
    assert ("SKIPPED UNDER CI: " in done.stdout) == bool(ci)
