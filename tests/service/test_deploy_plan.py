"""`make plan`, and how a deployment depends on what exists. The tools are stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.deploy import shell
from infra.deploy.__main__ import main
from infra.deploy.terraform import FIRST
from tests.tools import DEPLOYED, OUTPUTS, REGISTRY, Tools

PROJECT = {"PROJECT": "some-project"}
FIRST_STATE = "\n".join([*FIRST, 'google_storage_bucket.this["models"]'])


def run(tools: Tools, command: str, **given: str) -> int:
    return main([command], PROJECT | given, tools.root)


def applies(tools: Tools) -> list[list[str]]:
    return [call for call in tools.calls if "apply" in call]


def stands(tools: Tools, state: str = FIRST_STATE) -> None:
    """A registry, and a state with these resources."""
    tools.output(images=REGISTRY)
    tools.answer("state list", state)


def test_the_first_stage_is_skipped_where_it_exists(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    stands(tools)
    assert run(tools, "deploy") == 0
    [apply] = applies(tools)
    assert not any(word.startswith("-target") for word in apply)
    assert "# 1 of 2: the registry and the buckets exist already\n" in capfd.readouterr().out


@pytest.mark.parametrize("missing", FIRST)
def test_the_first_stage_creates_a_missing_resource(tools: Tools, missing: str) -> None:
    stands(tools, FIRST_STATE.replace(missing, "google_other.this"))
    assert run(tools, "deploy") == 0
    assert len(applies(tools)) == 2 and any(word.startswith("-target") for word in applies(tools)[0])


@pytest.mark.parametrize("at", [5, 9, 11], ids=["first apply", "build", "second apply"])
def test_a_new_project_gets_a_second_try(
    tools: Tools, at: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shell, "RETRY_S", 0.0)
    tools.output(deployed=None)
    tools.forget(failing=at)
    if at == 9:  # at the second try, the registry has no image either
        tools.images("source-old", once=True)
    assert run(tools, "deploy") == 0
    said = capfd.readouterr().out
    assert said.count("# it failed; a second try follows in 0 s, when new APIs and grants have taken effect\n") == 1
    assert tools.ran()[-1] == "smoke smoke"


def test_there_is_no_third_try(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "RETRY_S", 0.0)
    tools.output(deployed=None)
    tools.answer("apply", code=1)
    assert run(tools, "deploy") == 1
    assert len(applies(tools)) == 2


def test_an_existing_deployment_gets_no_second_try(tools: Tools) -> None:
    tools.answer("apply", code=1)
    assert run(tools, "deploy") == 1
    assert len(applies(tools)) == 1


def planned(tools: Tools) -> list[str]:
    """The words of the only plan, without anything that changes something."""
    changing = {"apply", "destroy", "submit", "enable", "rsync", "smoke"}
    assert not any(changing & set(call) for call in tools.calls)
    [plan] = [call for call in tools.calls if "plan" in call]
    return plan


def test_a_plan_has_the_image_of_these_sources_and_changes_nothing(tools: Tools, root: Path) -> None:
    stands(tools)
    tools.images("source-old", tools.tag)
    model = root / "model" / "artifacts" / "fashion-mnist"
    assert run(tools, "plan", ARTIFACT=str(model), PREFIX="dev") == 0
    words = planned(tools)
    assert {"-lock=false", "-no-color", f"-var=image={REGISTRY}@sha256:1", "-var=prefix=dev"} <= set(words)
    assert any(word.startswith("-var=artifact_prefix=fashion-mnist/") for word in words)
    assert "-detailed-exitcode" not in words


@pytest.mark.parametrize("new", [True, False], ids=["new project", "new sources"])
def test_a_plan_names_an_unbuilt_image_by_its_tag(tools: Tools, new: bool, capfd: pytest.CaptureFixture[str]) -> None:
    tools.images("source-old")
    if new:
        tools.answer("output -json", "{}")
    else:
        stands(tools)
    assert run(tools, "plan") == 0
    assert f"-var=image={REGISTRY}:{tools.tag}" in planned(tools)
    assert ("gcloud artifacts docker" in tools.ran()) != new  # a new project has no registry to ask
    assert "is not built yet: the plan has its tag instead of its digest" in capfd.readouterr().out


def test_a_plan_of_a_function_needs_no_image(tools: Tools) -> None:
    assert run(tools, "plan", COMPUTE="function") == 0
    assert not any(word.startswith("-var=image") for word in planned(tools))


def test_drift_is_a_failure_that_shows_the_difference(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.output(deployed=DEPLOYED | {"artifact_prefix": "mine/0123"})
    tools.answer("plan", code=2)
    assert run(tools, "plan", DRIFT="1") == 1
    running = {f"-var=image={OUTPUTS['image']}", "-var=artifact_prefix=mine/0123", "-detailed-exitcode"}
    assert running <= set(planned(tools))
    said = capfd.readouterr().err
    assert "With exit code 2, the deployment differs from the files as shown" in said
    assert said.endswith("run: make plan PROJECT=some-project DRIFT=1\n")
    tools.answer("plan", code=0)
    assert run(tools, "plan", DRIFT="1") == 0


def test_nothing_deployed_has_no_drift(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.answer("output -json", "{}")
    assert run(tools, "plan", DRIFT="1") == 1
    assert not any("plan" in call for call in tools.calls)
    assert "nothing is deployed in some-project, according to this Terraform state" in capfd.readouterr().err
