"""The checks of infra/ can fail: for each edit, a layer finds the mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.check import layers, tables, topology, variables
from infra.check.terraform import Terraform, attached, copy_files
from infra.check.toolchain import INFRA, ROOT, Toolchain
from tests.terraform.mutants import Mutant, mutants

TOPOLOGY_SCHEMA = json.loads((INFRA / "schemas" / "topology.schema.json").read_text())
SCHEMA_MUTANTS, TOPOLOGY_MUTANTS, TEST_MUTANTS = map(mutants, ("schema", "topology", "test"))


@pytest.fixture(scope="module")
def schema_findings(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Findings of the schema layer for each mutant and for the committed files."""
    base = tmp_path_factory.mktemp("schema")
    folders = {name: mutant.written(base / str(i)) for i, (name, mutant) in enumerate(SCHEMA_MUTANTS.items())}
    folders[""] = copy_files(base / "unchanged")
    found = layers.schema_findings(toolchain, list(folders.values()))
    return {name: "\n".join(found[str(folder)]) for name, folder in folders.items()}


def test_the_committed_files_pass(schema_findings: dict[str, str]) -> None:
    assert schema_findings[""] == ""
    assert topology.check(yaml.safe_load((INFRA / "topology.yaml").read_text()), TOPOLOGY_SCHEMA) == []


@pytest.mark.parametrize("name", SCHEMA_MUTANTS)
def test_schema_layer_finds(name: str, schema_findings: dict[str, str]) -> None:
    mutant = SCHEMA_MUTANTS[name]

    assert mutant.said in schema_findings[name]
    assert mutant.file in schema_findings[name]


def test_the_schemas_span_the_allowed_versions(toolchain: Toolchain) -> None:
    allowed = re.findall(r'version = ">= ([\d.]+), < (\d+)"', (INFRA / "versions.tf").read_text())
    oldest, beyond = allowed[0]

    assert allowed == [(oldest, beyond)] * 2
    assert next(iter(toolchain.schemas)).startswith(f"{oldest}.")
    assert [version.split(".")[0] for version in toolchain.schemas] == [
        str(major) for major in range(int(oldest.split(".")[0]), int(beyond))
    ]
    assert toolchain.newest == toolchain.schemas[list(toolchain.schemas)[-1]]


def test_the_schema_layer_names_the_versions_of_the_packages(
    toolchain: Toolchain, terraform: Terraform, tmp_path: Path
) -> None:
    outcome = layers.LAYERS["schema"](toolchain, terraform, copy_files(tmp_path / "work"))
    stated = [json.loads(files["google"].read_text())["version"] for files in toolchain.schemas.values()]

    assert outcome.ok and outcome.output.endswith(f"match google {', '.join(stated)}")


@pytest.mark.parametrize("name", TOPOLOGY_MUTANTS)
def test_topology_layer_finds(name: str, tmp_path: Path) -> None:
    mutant = TOPOLOGY_MUTANTS[name]
    file = mutant.written(tmp_path / "work") / "topology.yaml"

    assert mutant.said in "\n".join(topology.check(yaml.safe_load(file.read_text()), TOPOLOGY_SCHEMA))


@pytest.mark.parametrize("name", TEST_MUTANTS)
def test_terraform_test_finds(name: str, terraform: Terraform, tmp_path: Path) -> None:
    mutant = TEST_MUTANTS[name]
    folder = mutant.narrowed(tmp_path / "work")

    outcome = terraform(folder, "test", f"-filter=tests/{mutant.tests}.tftest.hcl")

    assert not outcome.ok
    # Terraform breaks long lines and draws a bar before each.
    assert mutant.said in " ".join(outcome.output.replace("│", " ").split())


def test_fmt_finds_an_unformatted_line(toolchain: Toolchain, terraform: Terraform, tmp_path: Path) -> None:
    folder = Mutant("outputs.tf", "  description", "    description", "").written(tmp_path / "work")

    assert not layers.LAYERS["fmt"](toolchain, terraform, folder).ok


def test_validate_finds_a_schema_violation(toolchain: Toolchain, terraform: Terraform, tmp_path: Path) -> None:
    folder = SCHEMA_MUTANTS["misspelt argument"].written(tmp_path / "work")

    assert "custom_audience" in layers.LAYERS["validate"](toolchain, terraform, folder).output


@pytest.mark.parametrize("kind", ["variable", "output"])
def test_the_page_names_every_variable_and_output(kind: str) -> None:
    names = [name for file in INFRA.glob("*.tf") for name in re.findall(rf'^{kind} "(\w+)"', file.read_text(), re.M)]
    page = tables.PAGE.read_text()

    assert names
    assert [name for name in names if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        (
            "sizes.tf",
            "= 55 #",
            "= 50 #",
            ["- | `timeout_seconds` | `number` | `55` |", "+ | `timeout_seconds` | `number` | `50` |"],
        ),
        (
            "alerts.tf",
            "backlog_seconds = 900,",
            "backlog_seconds = 60,",
            ["backlog_seconds = 900,", "backlog_seconds = 60,"],
        ),
        (
            "variables.tf",
            "Labels on",
            "Marks on",
            ["- | `labels` | `map(string)` | none | Labels", "+ | `labels` | `map(string)` | none | Marks"],
        ),
        ("budget.tf", 'variable "budget"', 'variable "limit"', ["- | `budget` |", "+ | `limit` |"]),
    ],
)
def test_an_outdated_table_of_variables_is_found(
    file: str, before: str, after: str, said: list[str], tmp_path: Path
) -> None:
    folder = Mutant(file, before, after, "").written(tmp_path / "work")
    found = "\n".join(variables.check(folder, tables.PAGE.read_text()))
    assert "write it again with `python -m infra.check.variables`" in found
    assert all(part in found for part in said)


def test_a_page_without_a_place_for_the_variables_is_found() -> None:
    [found] = variables.check(INFRA, "# infra/\n")
    assert "module.md has no place for the variables" in found


def test_provider_stand_ins_end_with_the_block(toolchain: Toolchain) -> None:
    with attached(toolchain) as terraform:
        pids = [given["Pid"] for given in json.loads(terraform.environment["TF_REATTACH_PROVIDERS"]).values()]
        for pid in pids:
            os.kill(pid, 0)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_a_missing_terraform_is_reported(ci: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.check"],
        cwd=ROOT,
        env={"PATH": "", "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == status
    assert "skipped: terraform is not installed" in done.stderr
