"""The runbook of infra/: each alert has a section, and each name is one that Terraform and `make runbook` fill in."""

from __future__ import annotations

import itertools
import re
from contextlib import suppress
from pathlib import Path

import pytest

from client.__main__ import main
from infra.deploy import runbook
from infra.deploy.target import Target

NAME = re.compile(r"\$\{(\w+)\}")
TARGETS = [
    Target("some-project"),
    Target("example.com:webshop", "europe-west4", "dev", "worker", (Path("/x/a.tfvars"), Path("/x/b.tfvars"))),
    Target("some-project", compute="function"),
]


@pytest.fixture(scope="module")
def page() -> str:
    return runbook.PAGE.read_text()


def test_every_alert_has_a_section(page: str, root: Path) -> None:
    alerts = re.findall(r"^ {6}(\w+) = \{\n +is +=", (root / "infra" / "alerts.tf").read_text(), re.M)
    assert len(alerts) >= 10
    assert [name for name in alerts if f"\n## {name}\n" not in page] == []


def test_every_name_is_filled_in_and_none_is_unused(page: str) -> None:
    assert set(NAME.findall(page)) == set(runbook.names(TARGETS[0]))
    # Terraform would take %{ for a directive, and both would take $$ for a dollar sign.
    assert "%{" not in page and "$" not in NAME.sub("", page)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_printed_page_has_no_placeholder(target: Target) -> None:
    printed = runbook.page(target)
    assert "$" not in printed
    assert f"--project={target.project}" in printed


def test_names_have_the_prefix_and_the_kind_of_worker() -> None:
    names = runbook.names(TARGETS[1])
    assert names["WORKER"] == "dev-prediction-pool" and names["UPLOADS"] == "example-com-webshop-dev-uploads"
    assert names["DEPLOY"].endswith("COMPUTE=worker PREFIX=dev TFVARS=/x/a.tfvars,/x/b.tfvars")
    assert names["DATASET"] == "dev_predictions" and names["WORKSPACE"] == "example.com:webshop.dev"
    assert runbook.names(TARGETS[2])["WORKER"] == "prediction-function"


def test_a_missing_project_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert runbook.main({}) == 2
    assert capsys.readouterr().err == "runbook: the project is missing: PROJECT=some-project\n"


def test_sections_that_an_operator_looks_for(page: str) -> None:
    for heading in (
        "Stop everything now",
        "Redrive",
        "A bad model or image was deployed",
        "Pushes are refused",
        "A quota is reached",
        "The key is disabled",
        "The schema refuses responses",
        "The state is locked",
        "A deploy stopped halfway",
        "The region is down",
        "Switch compute",
    ):
        assert f"\n## {heading}\n" in page


def test_every_gcloud_command_names_its_project_or_full_resource(page: str) -> None:
    commands = re.findall(r"^ *(gcloud .+)$", page, re.M)
    assert len(commands) > 30
    without = [command for command in commands if "--project=${PROJECT}" not in command]
    assert [command for command in without if "KMS_KEY" not in command and "gs://" not in command] == []


def test_every_option_of_a_predictions_command_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^ *predictions (.+?)(?: +#.*)?$", runbook.page(TARGETS[1]), re.M)
    assert len(commands) >= 7
    for command in commands:
        words = list(itertools.takewhile(lambda word: word[0] != "-" and word.islower(), command.split()))
        with suppress(SystemExit):  # commands of other packages end by themselves
            assert main([*words, "--help"], {}) == 0
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"--[a-z-]+", command)) <= known, command
