"""`make infra-check` runs a layer again as soon as one of its inputs changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.check.passed import Passed

LAYERS = ("schema", "variables", "outputs", "fmt", "test", "rehearsal", "examples", "permissions", "checkov")


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    """A folder with one file of each kind."""
    for name in (
        "run.tf",
        "topology.yaml",
        "schemas/response.json",
        "check/order.py",
        "check/checkov.txt",
        "check/skips.toml",
        "tests/run.tftest.hcl",
        "README.md",
        "runbook.md",
        "module.md",
        "PERMISSIONS.md",
        "examples/dev.tfvars",
        "examples/minimal/main.tf",
        "terraform",
    ):
        (tmp_path / "infra" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "infra" / name).write_text(name)
    return tmp_path / "infra"


def passed(infra: Path) -> Passed:
    return Passed(infra.parent / "passed.json", str(infra / "terraform"), infra)


def known(infra: Path) -> set[str]:
    """The layers that need not run."""
    return {layer for layer in LAYERS if passed(infra).output(layer) == f"{layer} passed"}


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("run.tf", set(LAYERS)),
        ("topology.yaml", set(LAYERS)),
        ("schemas/response.json", set(LAYERS)),
        ("check/order.py", set(LAYERS)),
        ("check/checkov.txt", set(LAYERS)),
        ("check/skips.toml", set(LAYERS)),
        ("terraform", set(LAYERS)),
        ("new.tf", set(LAYERS)),
        ("tests/run.tftest.hcl", {"fmt", "test"}),
        ("tests/new.tftest.hcl", {"fmt", "test"}),
        ("runbook.md", set(LAYERS)),
        ("README.md", {"examples"}),
        ("module.md", {"variables", "outputs"}),
        ("PERMISSIONS.md", {"permissions"}),
        ("examples/dev.tfvars", {"fmt"}),
        ("examples/minimal/main.tf", {"fmt", "examples"}),
    ],
)
def test_a_changed_input_runs_its_layers_again(changed: str, again: set[str], infra: Path) -> None:
    assert known(infra) == set()
    for layer in LAYERS:
        passed(infra).keep(layer, f"{layer} passed")
    assert known(infra) == set(LAYERS)
    (infra / changed).write_text("changed")
    assert known(infra) == set(LAYERS) - again


def test_a_removed_file_runs_all_layers_again(infra: Path) -> None:
    passed(infra).keep("test", "test passed")
    (infra / "run.tf").unlink()
    assert known(infra) == set()


def test_a_damaged_record_counts_as_none(infra: Path) -> None:
    (infra.parent / "passed.json").write_text('{"test": {"inp')
    assert known(infra) == set()
    passed(infra).keep("test", "test passed")
    assert known(infra) == {"test"}
