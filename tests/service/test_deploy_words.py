"""Arguments of `make deploy`, `rollback` and `destroy`: refusals and defaults."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from client.doctor.deployment import Deployment
from infra.deploy.__main__ import main
from infra.deploy.target import COMPUTE, REGION, RULES, Target
from tests.tools import DEPLOYED, Tools

PROJECT = {"PROJECT": "some-project"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "the project is missing: PROJECT=some-project"),
        ({"PROJECT": "Some Project"}, "PROJECT is 'Some Project'; it must be a project's id"),
        ({"PROJECT": "123456789"}, "PROJECT is '123456789'"),
        ({"PROJECT": "some-project\n"}, "PROJECT is 'some-project\\n'"),
        ({"PROJECT": "$(reboot)"}, "PROJECT is '$(reboot)'"),
        (
            PROJECT | {"REGION": "europe-west1-b"},
            "REGION is 'europe-west1-b'; it must be a region such as europe-west1",
        ),
        (PROJECT | {"REGION": "eu"}, "REGION is 'eu'"),
        (PROJECT | {"PREFIX": "dev-"}, "PREFIX is 'dev-'; it must be at most 11 characters of a-z and 0-9"),
        (PROJECT | {"PREFIX": "twelveletters"}, "PREFIX is 'twelveletters'"),
        (PROJECT | {"COMPUTE": "pull"}, "COMPUTE is 'pull'; it must be push, worker, function or kafka"),
        (PROJECT | {"TFVARS": "README.md"}, "it must be a file whose name ends in .tfvars"),
        (PROJECT | {"TFVARS": "no/such.tfvars"}, "the file cannot be read"),
        (PROJECT | {"TFVARS": "a.tfvars,,b.tfvars"}, "must be files, separated by single commas"),
        (PROJECT | {"TFVARS": "a.tfvars b.txt"}, "it must be a file whose name ends in .tfvars"),
        ({"PROJECT": "example:shop-1"}, "perhaps after a domain as in example.com:shop"),
        (PROJECT | {"REBUILD": "yes"}, "REBUILD is 'yes'; it must be 1 or empty"),
        (PROJECT | {"DRY_RUN": "yes"}, "DRY_RUN is 'yes'; it must be 1 or empty"),
        (PROJECT | {"ARTIFACT": "no/such"}, "ARTIFACT is 'no/such': "),
        (PROJECT | {"ARTIFACT": "gs://bucket/model"}, "ARTIFACT is 'gs://bucket/model': "),
        (PROJECT | {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}, "PUBSUB_EMULATOR_HOST is set, so an emulator would be"),
    ],
)
def test_wrong_arguments_of_deploy_are_refused(
    tools: Tools, given: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy"], given, tools.root) == 2
    heard = capsys.readouterr()
    assert heard.err.startswith("deploy: ") and said in heard.err and heard.out == ""
    assert tools.calls == []


def test_deploy_checks_arguments_like_terraform(root: Path) -> None:
    text = (root / "infra" / "variables.tf").read_text()
    for variable, name in (("project_id", "PROJECT"), ("region", "REGION"), ("prefix", "PREFIX")):
        [rule] = re.findall(rf'can\(regex\("(.+)", var\.{variable}\)\)', text)
        assert RULES[name][0] == rule
    pool = (root / "infra" / "organisation.tf").read_text()
    rule, _ = re.findall(r'can\(regex\("(.+)", var\.build_pool\)\)', pool)  # the second is the region's
    assert RULES["build_pool"][0] == f"^({rule.strip('^$')})?$"
    [forms] = re.findall(r"contains\(\[(.+)\], var\.compute\)", text)
    assert RULES["COMPUTE"][0] == "^({})$".format("|".join(forms.replace('"', "").split(", ")))
    for variable, default in (("region", REGION), ("compute", COMPUTE)):
        assert re.findall(r'default += "(.*)"', text.split(f'variable "{variable}" {{')[1])[0] == default


def test_arguments_default_to_the_variables_file(tmp_path: Path) -> None:
    file = tmp_path / "dev.tfvars"
    file.write_text(
        'project_id = "file-project"\nregion = "us-east1"  # near them\nprefix="dev"\ncompute = "worker"\n'
        'labels = {\n  region = "not-this"\n}\ncpu = 2\n'
    )
    assert Target.read({"TFVARS": str(file)}) == Target("file-project", "us-east1", "dev", "worker", (file,))
    arguments = {"TFVARS": str(file), "PROJECT": "some-project", "COMPUTE": "push"}
    assert Target.read(arguments) == Target("some-project", "us-east1", "dev", "push", (file,))


@pytest.mark.parametrize("compute", ["push", "worker", "function", "kafka"])
def test_deploy_accepts_the_doctors_suggestions(compute: str) -> None:
    make, deploy, *words = Deployment("some-project", "https://w", "dev-", "us-east1", compute).deploy
    assert (make, deploy) == ("make", "deploy")
    assert Target.read(dict(word.split("=") for word in words)) == Target("some-project", "us-east1", "dev", compute)


@pytest.mark.parametrize(
    ("compute", "service", "audience"),
    [
        ("push", "dev-prediction-worker", "dev-prediction-worker"),
        ("function", "dev-prediction-function", "https://w"),  # as infra/tests/compute.tftest.hcl has it
    ],
)
def test_the_doctor_knows_the_push_service(compute: str, service: str, audience: str) -> None:
    deployment = Deployment("some-project", "https://w", "dev-", "us-east1", compute)
    assert deployment.service == service
    assert deployment.push_flags("/dead") == [
        "--push-endpoint=https://w/dead",
        "--push-auth-service-account=dev-prediction-invoker@some-project.iam.gserviceaccount.com",
        f"--push-auth-token-audience={audience}",
    ]


@pytest.mark.parametrize("tool", ["gcloud", "terraform"])
def test_a_missing_tool_is_reported(
    tools: Tools, tool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tools.bin / tool).unlink()
    monkeypatch.setenv("PATH", str(tools.bin))
    assert main(["deploy"], PROJECT, tools.root) == 1
    assert f"deploy stopped: {tool} is not installed: " in capsys.readouterr().err
    assert tools.calls == []


def test_an_entry_point_that_does_not_answer_is_reported(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.answer("smoke", code=1)
    assert main(["deploy", "--prefix", "dev", "--compute", "worker"], PROJECT, tools.root) == 1
    said = capfd.readouterr().err
    assert "To diagnose: predictions doctor --project some-project --prefix dev --compute worker\n" in said


def test_missing_gcloud_credentials_are_reported(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.forget(failing=1)
    assert main(["deploy"], PROJECT, tools.root) == 1
    assert "Sign in with `gcloud auth login`" in capfd.readouterr().err
    tools.forget(failing=2)
    assert main(["deploy"], PROJECT, tools.root) == 1
    assert "gcloud auth application-default login" in capfd.readouterr().err


def test_at_a_terminal_terraform_asks_for_confirmation(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = os.openpty()
    with os.fdopen(far) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        assert main(["deploy"], PROJECT, tools.root) == 0
    os.close(near)
    assert not any("-auto-approve" in call for call in tools.calls)


def test_several_files_of_variables_override_each_other(tools: Tools, tmp_path: Path) -> None:
    first, second = tmp_path / "prod.tfvars", tmp_path / "sizes.tfvars"
    first.write_text('project_id = "file-project"\nregion = "us-east1"\nprefix = "dev"\n')
    second.write_text('region = "us-west1"\ncpu = 4\n')
    both = f"{first}, {second}"
    target = Target.read({"TFVARS": both})
    assert target == Target("file-project", "us-west1", "dev", "push", (first, second))
    assert f"TFVARS={first},{second}" in target.words()
    tools.output(deployed=DEPLOYED | {"region": "us-west1"})
    assert main(["deploy"], {"TFVARS": both}, tools.root) == 0
    for call in (call for call in tools.calls if "apply" in call):
        files = [word for word in call if word.startswith("-var-file=")]
        assert files == [f"-var-file={first}", f"-var-file={second}"]
        assert call.index(files[-1]) < call.index("-var=region=us-west1")
