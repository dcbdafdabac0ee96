"""Tests with expensive fixtures share a process, and the lists of exceptions are correct."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grouping import SHARED_TWINS, SPREAD, group, place


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("tests/lab/test_a.py::test_a", "tests/lab/test_b.py::test_b", True),
        ("tests/lab/test_training.py::test_a", "tests/lab/test_transfer.py::test_b", True),
        ("tests/lab/test_training.py::test_a", "tests/lab/test_b.py::test_b", False),
        ("tests/conformance/test_a.py::test_a[google-1]", "tests/conformance/test_b.py::test_b[google]", True),
        ("tests/conformance/test_a.py::test_a[embedded]", "tests/conformance/test_a.py::test_a[google]", False),
        ("tests/unit/test_a.py::test_a", "tests/unit/test_a.py::test_b", True),
        ("tests/unit/test_a.py::test_a", "tests/service/test_a.py::test_a", False),
        ("tests/service/test_client.py::test_a", "tests/service/test_client_streams.py::test_b[pull]", True),
        ("tests/service/test_slow_callers.py::test_a", "tests/service/test_slow_callers.py::test_b", False),
    ],
)
def test_the_group_of_a_test_is_that_of_its_process(one: str, other: str, together: bool) -> None:
    assert (group(one) == group(other)) is together


def test_the_longest_groups_begin_first() -> None:
    tests = [f"tests/{folder}/test_a.py::test_a" for folder in ("lab", "terraform", "release", "service", "unit")]
    assert sorted(reversed(tests), key=place) == tests
    assert place("tests/service/test_slow_callers.py::test_a") < place("tests/service/test_a.py::test_a")
    assert place("tests/conformance/test_a.py::test_a[google]") < place("tests/release/test_a.py::test_a")


def test_the_list_of_files_with_shared_twins_is_complete(root: Path) -> None:
    takers = {path.stem for path in (root / "tests").glob("*/test_*.py") if "shared_twin(" in path.read_text()}
    assert takers | {"test_grouping"} == {*SHARED_TWINS, "test_grouping"}


def test_spread_files_have_no_module_fixtures(root: Path) -> None:
    for name in SPREAD:
        (path,) = (root / "tests").glob(f"*/{name}.py")
        assert 'scope="module"' not in path.read_text(), name
