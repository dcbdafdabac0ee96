"""Terraform accepts the variables that `plan --tfvars` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.__main__ import main
from infra.check.scenarios import EXAMPLE
from infra.check.terraform import Outcome, Terraform, copy_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_files(tmp_path_factory.mktemp("infra") / "work")


def plan(terraform: Terraform, folder: Path, file: Path) -> Outcome:
    given = [f"-var={name}={value}" for name, value in EXAMPLE.items()]
    return terraform(folder, "plan", "-input=false", f"-var-file={file}", *given)


@pytest.mark.parametrize(
    "words",
    [["1e3", "--latency", "0.5"], ["1e6", "--size", "3MB"], ["1e9", "--size", "700"], ["1e6", "--delivery", "pull"]],
)
def test_terraform_accepts_the_written_variables(
    terraform: Terraform, folder: Path, words: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.tfvars"
    assert main(["plan", "--images-per-day", *words, "--tfvars", str(file)], {}) == 0
    outcome = plan(terraform, folder, file)
    assert outcome.ok, outcome.output
    assert "Warning" not in outcome.output  # of a variable that is not declared, say
    cpu = next(line.split("=")[1].strip() for line in file.read_text().splitlines() if line.startswith("cpu "))
    assert f'"cpu"    = "{cpu}"' in outcome.output


def test_terraform_accepts_the_scale_of_the_comment(terraform: Terraform, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.tfvars"
    assert main(["plan", "--images-per-day", "1e6", "--delivery", "pull", "--tfvars", str(file)], {}) == 0
    file.write_text(file.read_text().replace("# to follow the backlog, instead of instances: ", ""))
    outcome = plan(terraform, folder, file)
    assert outcome.ok and "google_cloud_scheduler_job.scale[0]" in outcome.output, outcome.output


def test_terraform_refuses_a_wrong_value(terraform: Terraform, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.tfvars"
    assert main(["plan", "--images-per-day", "1e6", "--tfvars", str(file)], {}) == 0
    file.write_text(file.read_text().replace("timeout_seconds      = 55", "timeout_seconds      = 61"))
    outcome = plan(terraform, folder, file)
    assert not outcome.ok and "timeout_seconds is 61; it must be" in outcome.output
