"""Terraform and the job that scales a pool: neither undoes what the other did, and the alert asks for what exists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.check import changes
from infra.check.scenarios import EXAMPLE, SCENARIOS
from infra.check.terraform import Terraform, copy_files
from tests.terraform.conftest import Plan
from tests.terraform.mutants import Mutant
from tests.terraform.test_monitoring import Known, findings

POOL = "google_cloud_run_v2_worker_pool.worker[0]"
DECISIONS = {
    # As "Monitor Cloud Run" (Google Cloud) has it: completed executions of a job, by their result.
    "run_googleapis_com:job_completed_execution_count": Known(
        {"cloud_run_job": "job_name"}, frozenset({"result"}), False
    )
}


def deployed(terraform: Terraform, folder: Path, given: dict[str, str]) -> list[dict[str, Any]]:
    """The pool's scaling after an apply."""
    terraform.planned(folder, EXAMPLE | given)
    resources = terraform.applied(folder)["values"]["root_module"]["resources"]
    [pool] = (each["values"] for each in resources if each["address"] == POOL)
    return list(pool["scaling"])


def change_count(folder: Path, count: int) -> None:
    """What a plan reads from the API after the job has set the count."""
    state = json.loads((folder / "terraform.tfstate").read_text())
    [pool] = (each for each in state["resources"] if each["type"] == "google_cloud_run_v2_worker_pool")
    [scaling] = pool["instances"][0]["attributes"]["scaling"]
    scaling["manual_instance_count"] = count
    (folder / "terraform.tfstate").write_text(json.dumps(state))


def change_of_pool(plan: dict[str, Any]) -> tuple[list[str], Any]:
    [change] = (each["change"] for each in plan["resource_changes"] if each["address"] == POOL)
    return change["actions"], change["after"]["scaling"]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_plan_after_a_decision_is_empty(count: int, terraform: Terraform, tmp_path: Path) -> None:
    folder = copy_files(tmp_path / "work")
    assert len(deployed(terraform, folder, SCENARIOS["`scale`"])) == 1
    change_count(folder, count)

    plan = terraform.planned(folder, EXAMPLE | SCENARIOS["`scale`"])

    assert list(changes.repeated(plan)) == []
    assert change_of_pool(plan)[1][0]["manual_instance_count"] == count


def test_without_the_option_terraform_sets_the_count(terraform: Terraform, tmp_path: Path) -> None:
    folder = copy_files(tmp_path / "work")
    given = SCENARIOS["worker"] | {"instances": "3"}
    assert deployed(terraform, folder, given)[0]["manual_instance_count"] == 3
    change_count(folder, 7)

    plan = terraform.planned(folder, EXAMPLE | given)

    assert change_of_pool(plan)[0] == ["update"] and change_of_pool(plan)[1][0]["manual_instance_count"] == 3


def test_the_option_comes_and_goes_without_a_new_pool(terraform: Terraform, tmp_path: Path) -> None:
    folder = copy_files(tmp_path / "work")
    given = SCENARIOS["worker"] | {"instances": "3"}
    deployed(terraform, folder, given)

    coming = terraform.planned(folder, EXAMPLE | given | {"scale": SCENARIOS["`scale`"]["scale"]})
    terraform.applied(folder)
    change_count(folder, 0)
    going = terraform.planned(folder, EXAMPLE | given)

    assert change_of_pool(coming)[0] == ["no-op"] and change_of_pool(coming)[1][0]["manual_instance_count"] == 3
    assert change_of_pool(going)[0] == ["update"] and change_of_pool(going)[1][0]["manual_instance_count"] == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("var.scale == null ? [var.instances] : []", "[var.instances]"),
        ("[var.instances] : []", "[var.instances] : [0]"),
    ],
)
def test_a_count_of_terraforms_own_would_undo_a_decision(
    before: str, after: str, terraform: Terraform, tmp_path: Path
) -> None:
    folder = Mutant("worker.tf", before, after, "").written(tmp_path / "work")
    deployed(terraform, folder, SCENARIOS["`scale`"])
    change_count(folder, 7)

    findings = changes.repeated(terraform.planned(folder, EXAMPLE | SCENARIOS["`scale`"]))

    assert list(findings) == [f"a second plan would update {POOL}"]


def test_the_alert_asks_for_a_metric_that_exists(plan: Plan) -> None:
    resources = plan(prefix="dev", **SCENARIOS["`scale`"])
    [alert] = (each for each in resources if each["address"] == 'google_monitoring_alert_policy.this["scaling"]')
    query = alert["values"]["conditions"][0]["condition_prometheus_query_language"][0]["query"]

    assert findings(query, DECISIONS) == [] and 'job_name="dev-prediction-scale"' in query
    assert findings(query.replace("completed_execution", "execution"), DECISIONS) != []
    assert alert["values"]["documentation"][0]["content"].startswith("With `scale`, the job")
