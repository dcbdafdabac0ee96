"""`make rollback` to an older image, and `make destroy`. The tools are stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.deploy.__main__ import main
from tests.tools import DEPLOYED, REGISTRY, Tools

PROJECT = {"PROJECT": "some-project"}
SIGN_IN = ["gcloud projects describe", "gcloud auth application-default"]
LOOK = ["gcloud storage ls"] * 2


def run(tools: Tools, command: str, **given: str) -> int:
    return main([command], PROJECT | given, tools.root)


@pytest.mark.parametrize("image", ["sha256:1", "older", f"{REGISTRY}@sha256:1"])
def test_an_older_image_runs_by_digest(tools: Tools, image: str) -> None:
    tools.images("newer", "older")
    assert run(tools, "rollback", IMAGE=image, PREFIX="dev") == 0
    registry, *rest = tools.ran()[2:]
    assert registry == "gcloud artifacts docker"
    assert rest == ["terraform init", "terraform output", "terraform apply", "terraform output", "smoke smoke"]
    assert {f"-var=image={REGISTRY}@sha256:1", "-var=prefix=dev"} <= set(tools.calls[5])
    assert not any(word.startswith("-var=artifact_prefix") for word in tools.calls[5])


def test_the_model_that_is_served_stays(tools: Tools, root: Path) -> None:
    tools.output(deployed=DEPLOYED | {"artifact_prefix": "mine/0123"})
    assert run(tools, "rollback", IMAGE="source-old") == 0
    assert "-var=artifact_prefix=mine/0123" in tools.calls[5]
    tools.forget()
    folder = root / "model" / "artifacts" / "fashion-mnist"
    assert run(tools, "rollback", IMAGE="source-old", ARTIFACT=str(folder)) == 0
    [given] = [word for word in tools.calls[5] if word.startswith("-var=artifact_prefix=")]
    assert given.startswith("-var=artifact_prefix=fashion-mnist/")


@pytest.mark.parametrize("command", ["deploy", "rollback", "destroy"])
def test_region_must_match_the_deployment(tools: Tools, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    tools.output(deployed=DEPLOYED | {"region": "us-east1"})
    assert run(tools, command, IMAGE="source-old", CONFIRM="some-project", PREFIX="dev") == 2
    assert tools.ran()[-1] == "terraform output"
    assert "REGION is europe-west1, but some-project.dev is deployed with REGION=us-east1: " in capfd.readouterr().err
    assert run(tools, command, IMAGE="source-old", CONFIRM="some-project", REGION="us-east1") == 0
    assert any("-var=region=us-east1" in call for call in tools.calls)


@pytest.mark.parametrize("command", ["rollback", "destroy"])
def test_compute_must_match_the_deployment(tools: Tools, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    tools.output(deployed=DEPLOYED | {"compute": "worker"})
    assert run(tools, command, IMAGE="source-old", CONFIRM="some-project") == 2
    assert not any("apply" in call or "destroy" in call for call in tools.calls)
    assert "COMPUTE is push, but some-project is deployed with COMPUTE=worker: only" in capfd.readouterr().err
    assert run(tools, "deploy", COMPUTE="push") == 0  # which switches it


@pytest.mark.parametrize(
    ("image", "said"), [("", "IMAGE is missing; "), ("a'b", """IMAGE is "a'b", which is not in the registry; """)]
)
def test_rollback_without_a_valid_image_lists_the_images(
    tools: Tools, image: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    tools.images("newer", "older")
    assert run(tools, "rollback", IMAGE=image) == 2
    assert tools.ran() == [*SIGN_IN, "gcloud artifacts docker"]
    assert capfd.readouterr().err == (
        f"rollback: {said}it must be one of these, newest first:\n"
        "  sha256:0  2026-11-29T09:00:00  newer\n  sha256:1  2026-11-28T09:00:00  older\n"
    )


def test_an_empty_registry_is_reported(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.images()
    assert run(tools, "rollback") == 2
    assert capfd.readouterr().err.endswith("newest first:\n  (none)\n")


def test_a_function_cannot_be_rolled_back(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tools, "rollback", COMPUTE="function", IMAGE="older") == 2
    assert tools.calls == []
    assert "check out the earlier sources" in capfd.readouterr().err


@pytest.mark.parametrize("confirmed", ["", "yes", "some-project-dev"])
def test_nothing_is_destroyed_without_confirmation(
    tools: Tools, confirmed: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tools, "destroy", CONFIRM=confirmed) == 2
    assert tools.calls == []
    said = capfd.readouterr().err
    assert "CONFIRM=some-project removes everything" in said and "deletion_protection" in said


def test_deletion_protection_is_removed_first(tools: Tools) -> None:
    assert run(tools, "destroy", CONFIRM="some-project") == 0
    terraform = ["terraform init", "terraform output", "terraform apply", *LOOK, "terraform destroy"]
    assert tools.ran() == [*SIGN_IN, *terraform]
    for call in (tools.calls[4], tools.calls[-1]):
        # With the image that runs: no other comes up on the way.
        assert {f"-var=image={REGISTRY}@sha256:7", "-var=deletion_protection=false"} <= set(call)


def test_destroy_without_a_running_worker_applies_nothing(tools: Tools) -> None:
    tools.output(image=None)
    assert run(tools, "destroy", CONFIRM="some-project") == 0
    assert tools.ran() == [*SIGN_IN, "terraform init", "terraform output", *LOOK, "terraform destroy"]


def test_destroy_deletes_the_objects_of_deploy(tools: Tools) -> None:
    tools.answer(
        "storage ls gs://some-project-models", "gs://some-project-models/builds/\ngs://some-project-models/mine/"
    )
    tools.answer("storage ls gs://some-project-uploads", "gs://some-project-uploads/smoke/")
    assert run(tools, "destroy", CONFIRM="some-project") == 0
    removed = [call[-1] for call in tools.calls if call[:3] == ["gcloud", "storage", "rm"]]
    assert removed == ["gs://some-project-models/builds/", "gs://some-project-uploads/smoke/"]


def test_destroy_lists_no_bucket_in_an_empty_project(tools: Tools) -> None:
    tools.answer("output -json", "{}")
    assert run(tools, "destroy", CONFIRM="some-project") == 0
    assert tools.ran() == [*SIGN_IN, "terraform init", "terraform output", "terraform destroy"]


def test_destroy_names_buckets_with_objects(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.output(buckets={name: f"some-project-dev-{name}" for name in ("uploads", "payloads", "models")})
    tools.forget(failing=8)
    assert run(tools, "destroy", CONFIRM="some-project", PREFIX="dev") == 1
    said = capfd.readouterr().err
    assert "Non-empty buckets are kept." in said
    for name in ("uploads", "payloads", "models", "response-store"):
        assert f"  gcloud storage rm --recursive 'gs://some-project-dev-{name}/**'\n" in said
    assert said.endswith("make destroy PROJECT=some-project PREFIX=dev CONFIRM=some-project\n")


def test_destroy_advises_nothing_against_brought_buckets(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    buckets = {"uploads": "shop-images", "payloads": "some-project-payloads", "models": "shop-models"}
    tools.output(buckets=buckets)
    tools.answer("storage ls gs://shop-models", "gs://shop-models/builds/")
    tools.answer("terraform -chdir=infra destroy", code=1)
    assert run(tools, "destroy", CONFIRM="some-project") == 1
    said = capfd.readouterr().err
    assert "gs://some-project-payloads/**" in said
    assert not any(name in said for name in ("shop-images", "shop-models", "some-project-uploads", "-project-models"))
    assert [call[-1] for call in tools.calls if call[:3] == ["gcloud", "storage", "rm"]] == ["gs://shop-models/builds/"]


@pytest.mark.parametrize("command", ["rollback", "destroy"])
def test_a_dry_run_runs_nothing(tools: Tools, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tools, command, DRY_RUN="1", IMAGE="older", CONFIRM="some-project") == 0
    assert tools.calls == []
    assert "apply -input=false -auto-approve -var=project_id=some-project" in capfd.readouterr().out
