"""The examples of infra/ can be used as they are: variables, make targets, and no keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.check.terraform import copy_files
from infra.deploy.target import Target

ROLES = {
    "google_artifact_registry_": "artifactregistry.admin",
    "google_bigquery_": "bigquery.dataOwner",
    "google_billing_": "billing.costsManager",
    "google_cloud_run_": "run.admin",
    "google_cloud_scheduler_": "cloudscheduler.admin",
    "google_cloudfunctions2_": "cloudfunctions.developer",
    "google_iap_": "iap.admin",
    "google_kms_": "cloudkms.admin",
    "google_logging_": "logging.configWriter",
    "google_managed_kafka_": "managedkafka.admin",
    "google_monitoring_": "monitoring.editor",
    "google_project_iam_": "resourcemanager.projectIamAdmin",
    "google_project_service": "serviceusage.serviceUsageAdmin",
    "google_pubsub_": "pubsub.admin",
    "google_secret_manager_": "secretmanager.admin",
    "google_service_account": "iam.serviceAccountAdmin",
    "google_storage_": "storage.admin",
}
"""Roles that may create, grant and delete a resource, by the prefix of its type, from Google's documentation."""

ELSEWHERE = {"billing.costsManager", "cloudkms.admin", "iap.admin", "managedkafka.admin", "secretmanager.admin"}
"""Not on the project, or only for `page` or Kafka."""


@pytest.fixture(scope="module")
def examples(root: Path) -> Path:
    return root / "infra" / "examples"


@pytest.fixture(scope="module")
def plan_workflow(examples: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load((examples / "plan.github.yml").read_text())
    return content


@pytest.fixture(scope="module")
def workflow(examples: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load((examples / "deploy.github.yml").read_text())
    return content


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_every_name_is_a_variable(examples: Path, name: str) -> None:
    declared = {
        variable
        for file in examples.parent.glob("*.tf")
        for variable in re.findall(r'^variable "(\w+)"', file.read_text(), re.M)
    }
    named = set(re.findall(r"^(?:# )?(\w+) +=", (examples / f"{name}.tfvars").read_text(), re.M))
    assert len(named) > 3 and named <= declared


def test_the_examples_can_be_combined(examples: Path) -> None:
    dev, prod = (
        Target.read({"PROJECT": "some-project", "TFVARS": str(examples / f"{name}.tfvars")}) for name in ("dev", "prod")
    )
    assert dev.workspace != prod.workspace and dev.image("worker") != prod.image("worker")


def test_a_prefix_is_not_taken_for_a_part_of_a_projects_name() -> None:
    assert Target("some-project", prefix="dev").workspace != Target("some-project-dev").workspace


def test_the_workflow_calls_make_and_nothing_else(workflow: dict[Any, Any], root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (root / "Makefile").read_text(), re.M))
    run = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert run == ["make deploy", "make rollback"]
    assert {line.removeprefix("make ") for line in run} <= targets


def test_the_workflow_gives_what_make_takes(workflow: dict[Any, Any], root: Path) -> None:
    given = workflow["env"]
    assert Target.read({**given, "TFVARS": str(root / given["TFVARS"])}).project == "some-project"
    [rollback] = [step for step in workflow["jobs"]["deploy"]["steps"] if step.get("run") == "make rollback"]
    assert rollback["env"].keys() == {"IMAGE"}
    # What a person typed is never part of a script: it comes by the environment.
    assert not any("${{" in step.get("run", "") for step in workflow["jobs"]["deploy"]["steps"])


def test_the_workflow_signs_in_without_a_key(workflow: dict[Any, Any], examples: Path) -> None:
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    steps = workflow["jobs"]["deploy"]["steps"]
    [auth] = [step["with"] for step in steps if step.get("uses", "").startswith("google-github-actions/auth@")]
    assert auth.keys() == {"workload_identity_provider", "service_account"}
    text = (examples / "deploy.github.yml").read_text()
    assert not re.search(r"credentials_json|private_key|secrets\.", text)


def test_the_deployer_has_the_roles_for_what_is_made_and_no_others(examples: Path) -> None:
    files = {file.name: file.read_text() for file in examples.parent.glob("*.tf")}
    kinds = set(re.findall(r'^resource "(google_\w+)"', "\n".join(files.values()), re.M))
    by_kind = {kind: [role for start, role in ROLES.items() if kind.startswith(start)] for kind in kinds}
    assert {kind for kind, roles in by_kind.items() if len(roles) != 1} == set()
    text = (examples / "deploy.github.yml").read_text().replace("\\\n#", "")
    [loop], [conditional] = (re.findall(found, text) for found in (r"role in (.+); do", r"--role=roles/(resource\S+)"))
    needed = {role for roles in by_kind.values() for role in roles} - ELSEWHERE
    assert sorted([*loop.split(), conditional]) == sorted(
        needed | {"cloudbuild.builds.editor", "iam.serviceAccountUser", "logging.viewer"}
    )
    [allowed] = re.findall(r"hasOnly\(\[(.+)\]\)", text)
    project = "".join(re.findall(r'^resource "google_project_iam_member".*?^}', "\n".join(files.values()), re.M | re.S))
    assert set(allowed.replace('"', "").split(", ")) == set(re.findall(r'"(roles/[\w.]+)"', project))


def test_the_bootstrap_enables_what_the_first_command_needs(examples: Path) -> None:
    text = (examples / "deploy.github.yml").read_text().replace("\\\n#", "")
    [enabled] = re.findall(r"gcloud services enable (.+) --project", text)
    names = {name.removesuffix(".googleapis.com") for name in enabled.split()}
    # A call of a service account needs the API in its own project: also the call that enables APIs.
    assert names == {"cloudresourcemanager", "serviceusage", "iamcredentials", "sts"}


def test_the_plan_is_shown_and_drift_reported(
    plan_workflow: dict[Any, Any], workflow: dict[Any, Any], examples: Path
) -> None:
    steps = plan_workflow["jobs"]["plan"]["steps"]
    drift, plan, comment = (step for step in steps if "run" in step)
    assert (drift["run"], drift["env"]) == ("make plan", {"DRIFT": "1"})
    assert plan["run"] == "make plan | tee plan.txt" and plan["shell"] == "bash"  # without pipefail a failure passes
    assert "--body-file comment.md" in comment["run"] and "${{" not in comment["run"]
    assert plan_workflow["env"] == workflow["env"]
    assert plan_workflow.keys() == {"name", True, "permissions", "env", "jobs"}
    assert plan_workflow[True].keys() == {"pull_request", "schedule"}  # YAML reads `on` as true


def test_a_pull_request_cannot_become_the_deployer(
    plan_workflow: dict[Any, Any], workflow: dict[Any, Any], examples: Path
) -> None:
    pools = []
    for content in (plan_workflow, workflow):
        [job] = content["jobs"].values()
        [auth] = [
            step["with"] for step in job["steps"] if step.get("uses", "").startswith("google-github-actions/auth")
        ]
        pools.append(auth["workload_identity_provider"].split("/")[5])
    assert pools == ["github-plan", "github"]
    text = (examples / "plan.github.yml").read_text()
    [roles] = re.findall(r"for role in (.+); do", text)
    assert roles.split() == ["viewer", "iam.securityReviewer"]
    granted = set(re.findall(r"--role=roles/([\w.]+)", text))
    assert granted == {"storage.objectViewer", "iam.workloadIdentityUser"}


def test_the_workflow_does_not_run_in_this_repository(root: Path) -> None:
    assert not [*(root / ".github" / "workflows").glob("deploy*"), *(root / ".github" / "workflows").glob("plan*")]


def test_the_image_is_built_from_the_dockerfile(root: Path) -> None:
    build = yaml.safe_load((root / "infra" / "cloudbuild.yaml").read_text())
    [step] = build["steps"]
    assert step["args"][0] == "build" and step["args"][-1] == "." and (root / "Dockerfile").is_file()
    assert build["images"] == ["$_IMAGE"] and "$_IMAGE" in step["args"]
    base = {word.partition("=")[2] for word in step["args"]} & {"$_BASE"}
    assert base and "ARG BASE=python:3.11-slim\n" in (root / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", (root / "Dockerfile").read_text(), re.M) == ["${BASE}", "${BASE}"]


def test_the_check_ignores_a_state_bucket(examples: Path, tmp_path: Path) -> None:
    source = copy_files(tmp_path / "source")
    text = (examples / "backend.tf.example").read_text()
    assert re.search(r'^  backend "gcs" \{\n    bucket = "NAME"\n', text, re.M)
    (source / "backend.tf").write_text(text)
    assert not (copy_files(tmp_path / "copy", source) / "backend.tf").exists()
