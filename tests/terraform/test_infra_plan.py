"""The layers that check Terraform's plan can fail: order, grants, and checkov."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from infra.check import changes, layers, order, permissions, scan, scenarios
from infra.check.__main__ import main
from infra.check.terraform import Terraform, copy_files
from infra.check.toolchain import Toolchain
from tests.terraform.mutants import mutants

pytestmark = pytest.mark.timeout(900)  # seconds: the first test waits for all of `make infra-check`

ORDER_MUTANTS, CHANGES_MUTANTS, PERMISSIONS_MUTANTS, CHECKOV_MUTANTS = map(
    mutants, ("order", "changes", "permissions", "checkov")
)

Resources = list[dict[str, Any]]


def ordered(terraform: Terraform, folder: Path) -> list[str]:
    """Findings of the order layer in a folder."""
    drawn = terraform(folder, "graph", "-type=plan")
    assert drawn.ok, drawn.output
    return list(order.check(order.read(drawn.output)))


@pytest.mark.parametrize("name", ORDER_MUTANTS)
def test_order_layer_finds(name: str, terraform: Terraform, tmp_path: Path) -> None:
    mutant = ORDER_MUTANTS[name]

    assert mutant.said in "\n".join(ordered(terraform, mutant.written(tmp_path / "work")))


@pytest.fixture(scope="module")
def checked(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """`make infra-check`, run once for all tests: its status, what it prints, and the folder in which it rehearsed."""
    build, printed = tmp_path_factory.mktemp("infra-check"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr("infra.check.__main__.BUILD", build)
        patch.setattr(sys, "argv", ["infra.check"])
        status = main()
    return status, printed.getvalue(), build / "work"


@pytest.fixture(scope="module")
def rehearsed(checked: tuple[int, str, Path]) -> Path:
    """A folder in which every way was rehearsed."""
    _, said, folder = checked
    assert scenarios.rehearsed(folder), said
    return folder


def test_infra_check_passes(checked: tuple[int, str, Path]) -> None:
    status, said, _ = checked

    assert status == 0 and re.fullmatch(r"infra-check passed in \d+ s", said.splitlines()[-1]), said
    assert "unchanged" not in said and "\r" not in said


def test_a_second_check_repeats_no_layer(checked: tuple[int, str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, folder = checked
    monkeypatch.setattr("infra.check.__main__.BUILD", folder.parent)
    monkeypatch.setattr(sys, "argv", ["infra.check"])
    monkeypatch.delenv("CI", raising=False)
    with redirect_stdout(io.StringIO()) as printed:
        assert main() == 0
    assert re.findall(r"^(\w+) +ok .*, unchanged \(\d+\.\d s\)$", printed.getvalue(), re.M) == list(layers.LAYERS)


@pytest.mark.parametrize("layer", layers.LAYERS)
def test_every_layer_passes(layer: str, checked: tuple[int, str, Path]) -> None:
    _, said, _ = checked

    assert re.search(rf"^{layer} +ok ", said, re.M), said


@pytest.mark.parametrize("name", CHANGES_MUTANTS)
def test_changes_layer_finds(name: str, terraform: Terraform, tmp_path: Path) -> None:
    mutant = CHANGES_MUTANTS[name]
    folder = mutant.written(tmp_path / "work")
    given = scenarios.EXAMPLE | scenarios.SCENARIOS[mutant.way]
    later = changes.LATER.get(mutant.way, changes.LATER["push"])[mutant.later] if mutant.later else {}
    terraform.planned(folder, given)
    terraform.applied(folder)

    plan = terraform.planned(folder, given | later)
    findings = changes.changed(plan, "compute" in later) if later else changes.repeated(plan)

    assert mutant.said in "\n".join(findings)


def test_a_switch_of_compute_moves_the_right_to_call_the_worker_and_nothing_else() -> None:
    change = {
        "before": {"name": "worker", "role": "r"},
        "after": {"name": "function", "role": "s"},
        "actions": ["update"],
    }
    plan = {"resource_changes": [{"address": "google_cloud_run_v2_service_iam_member.invoker[0]", "change": change}]}

    assert [finding.split("because ")[1].split()[0] for finding in changes.changed(plan, True)] == ["role"]
    assert [finding.split("because ")[1].split()[0] for finding in changes.changed(plan, False)] == ["name", "role"]


@pytest.mark.parametrize("name", PERMISSIONS_MUTANTS)
def test_permissions_layer_finds(name: str, terraform: Terraform, rehearsed: Path, tmp_path: Path) -> None:
    mutant = PERMISSIONS_MUTANTS[name]
    folder = mutant.written(tmp_path / "work")
    terraform.planned(folder, scenarios.EXAMPLE | scenarios.SCENARIOS[mutant.way])
    found = scenarios.resources(rehearsed) | {
        mutant.way: terraform.applied(folder)["values"]["root_module"]["resources"]
    }

    findings = permissions.check(found, permissions.PAGE.read_text(), permissions.reasons())

    assert mutant.said in "\n".join(findings)


def test_an_authoritative_grant_is_found() -> None:
    binding = {"type": "google_pubsub_topic_iam_binding", "name": "answers", "values": {"role": "r", "members": []}}

    findings = "\n".join(permissions.check({"push": [binding]}, "", {}))

    assert "a grant of the type google_pubsub_topic_iam_binding, which permissions.py does not know" in findings


def test_no_grant_needs_everything_at_once(rehearsed: Path) -> None:
    assert "everything" not in permissions.table(scenarios.resources(rehearsed), {})


def test_a_reason_without_a_grant_is_found(rehearsed: Path) -> None:
    reasons = permissions.reasons() | {"google_pubsub_topic_iam_member.gone": "was wanted once"}

    findings = list(permissions.check(scenarios.resources(rehearsed), permissions.PAGE.read_text(), reasons))

    assert findings == ["google_pubsub_topic_iam_member.gone: has a reason in grants.toml but does not exist"]


@pytest.fixture(scope="module")
def scanned(
    toolchain: Toolchain, terraform: Terraform, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Any]]:
    """Findings of checkov in the plan of each mutant, by folder, from a single run."""
    base, plans = tmp_path_factory.mktemp("checkov"), []
    for name, mutant in CHECKOV_MUTANTS.items():
        folder = mutant.written(base / name.replace(" ", "-"))
        plan = terraform.planned(folder, scenarios.EXAMPLE | scenarios.SCENARIOS[mutant.way])
        (folder / "plan.json").write_text(json.dumps(plan))
        plans.append(folder / "plan.json")
    return _by_plan(scan.run(toolchain.checkov, plans), plans)


def _by_plan(reports: Sequence[scan.Report], plans: Sequence[Path]) -> dict[str, list[Any]]:
    failed = [each for report in reports for each in report["results"]["failed_checks"]]
    return {plan.parent.name: [each for each in failed if plan.parent.name in each["file_path"]] for plan in plans}


@pytest.mark.parametrize("name", CHECKOV_MUTANTS)
def test_checkov_layer_finds(name: str, scanned: dict[str, list[Any]]) -> None:
    report = {"results": {"failed_checks": scanned[name.replace(" ", "-")]}}

    assert CHECKOV_MUTANTS[name].said in "\n".join(scan.check([report], scan.skips()))


def test_an_exception_without_a_finding_is_found(toolchain: Toolchain, rehearsed: Path) -> None:
    stale = {"CKV_GCP_29": {"on": ["google_storage_bucket"]}}

    findings = list(scan.check(scan.run(toolchain.checkov, scenarios.plans(rehearsed)[:1]), scan.skips() | stale))

    assert "skips.toml: CKV_GCP_29 is an exception for google_storage_bucket, where checkov finds nothing" in findings


@pytest.mark.parametrize("given", ["", "{}", "not a plan"])
def test_checkov_on_an_empty_plan_is_a_failure(toolchain: Toolchain, tmp_path: Path, given: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(given)

    with pytest.raises(RuntimeError, match="checkov"):
        scan.run(toolchain.checkov, [plan])


def test_every_exception_has_a_reason() -> None:
    assert all(len(skip["why"]) > 10 and skip["finds"] for skip in scan.skips().values())


@pytest.mark.parametrize("layer", ["changes", "permissions", "checkov"])
def test_layers_without_a_plan_are_reported(
    layer: str, toolchain: Toolchain, terraform: Terraform, tmp_path: Path
) -> None:
    outcome = layers.LAYERS[layer](toolchain, terraform, copy_files(tmp_path / "work"))

    assert not outcome.ok and "the rehearsal failed" in outcome.output
