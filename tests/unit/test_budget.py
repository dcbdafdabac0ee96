"""Test budgets: a folder over its budget is reported, and so is a folder without one."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.budget import BUDGET, over


def test_a_folder_over_budget_is_named() -> None:
    assert over({"unit": 59.0, "service": 200.4}, {"unit": 60, "service": 200}) == [
        "tests/service took 200 s of processor time, not 200"
    ]


def test_a_folder_without_a_budget_is_named() -> None:
    assert over({"more": 0.1}, {"unit": 60}) == ["tests/more has no budget in budget.toml"]


def test_every_folder_with_tests_has_a_budget(root: Path) -> None:
    folders = {path.parent.name for path in (root / "tests").glob("*/test_*.py")}
    tables = tomllib.loads(BUDGET.read_text())
    assert {"seconds", "seconds_with_coverage"} == set(tables)
    assert all(set(table) == folders for table in tables.values())
