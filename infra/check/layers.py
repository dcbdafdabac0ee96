"""The layers of the check, cheapest first. Each looks at a folder of Terraform files and says whether it holds."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.check import order, permissions, scan, variables, ways
from infra.check.terraform import Outcome, Terraform
from infra.check.workshop import ROOT, Workshop

_UNREHEARSED = Outcome(False, "there is nothing to look at: the rehearsal failed")

Layer = Callable[[Workshop, Terraform, Path], Outcome]


def _topology(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """topology.yaml keeps to its JSON Schema, and every name in it is declared."""
    schema = folder / "schemas" / "topology.schema.json"
    return _judged(_tool(workshop, "topology", folder / "topology.yaml", schema), "as its JSON Schema says")


def schema_findings(workshop: Workshop, folders: Sequence[Path]) -> dict[str, list[str]]:
    """What static.py finds, by folder; one start of the tools for all of them."""
    found = _tool(workshop, "static", *workshop.schemas.values(), "--", *folders)
    return {str(folder): list(findings) for folder, findings in found.items()}


def _schema(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """The *.tf files keep to the providers' schemas."""
    files = len(list(folder.glob("*.tf")))
    return _judged(schema_findings(workshop, [folder])[str(folder)], f"{files} files as google 6.50.0 wants them")


def _variables(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """README.md has the variables as they are."""
    return _judged(list(variables.check(folder, variables.PAGE.read_text())), f"as {variables.PAGE.name} has them")


def _fmt(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """`terraform fmt -check`."""
    outcome = terraform(folder, "fmt", "-check", "-diff", "-recursive")
    return Outcome(outcome.ok, outcome.said or "formatted")


def _validate(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """`terraform init` and `terraform validate`."""
    outcome = terraform(folder, "init", "-backend=false", "-input=false")
    return terraform(folder, "validate") if outcome.ok else outcome


def _test(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """`terraform test`, with mocked providers: a process for each file, because Terraform takes them one by one."""

    def one(file: Path) -> Outcome:
        return terraform(folder, "test", f"-filter={file.relative_to(folder)}")

    files = sorted(folder.glob("tests/*.tftest.hcl"))
    if not files:
        return Outcome(False, "there are no tests")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(one, files))
    passed = [re.search(r"([1-9]\d*) passed, 0 failed", outcome.said) if outcome.ok else None for outcome in outcomes]
    failed = [outcome.said for outcome, runs in zip(outcomes, passed, strict=True) if not runs]
    return _judged(failed, f"{sum(int(runs[1]) for runs in passed if runs)} runs")


def _order(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """A fresh project is built in an order that works, whatever the variables are."""
    outcome = terraform(folder, "graph", "-type=plan")
    if not outcome.ok:
        return outcome
    graph = order.read(outcome.said)
    return _judged(list(order.check(graph)), f"{len(order.RULES)} rules over {len(graph)} nodes")


def _rehearsal(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """Plan and apply on the stand-ins, in every way: the whole graph, walked in order. Later layers read what comes."""
    try:
        count = ways.rehearse(terraform, folder)
    except RuntimeError as exc:
        return Outcome(False, str(exc))
    return Outcome(True, f"{len(ways.WAYS)} deployments, {count} resources planned and applied")


def _permissions(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """Every grant has its reason, and PERMISSIONS.md says so."""
    if not ways.rehearsed(folder):
        return _UNREHEARSED
    found, reasons = ways.resources(folder), permissions.reasons()
    findings = permissions.check(found, permissions.PAGE.read_text(), reasons)
    return _judged(list(findings), f"as {permissions.PAGE.name} has them")


def _checkov(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """checkov finds nothing in the plans that is not argued."""
    if not ways.rehearsed(folder):
        return _UNREHEARSED
    skips = scan.skips()
    try:
        reports = scan.run(workshop.checkov, ways.plans(folder))
    except RuntimeError as exc:
        return Outcome(False, str(exc))
    passed = sum(report["summary"]["passed"] for report in reports)
    return _judged(list(scan.check(reports, skips)), f"{passed} looks passed, {len(skips)} checks argued away")


LAYERS: dict[str, Layer] = {
    "topology": _topology,
    "schema": _schema,
    "variables": _variables,
    "fmt": _fmt,
    "validate": _validate,
    "order": _order,
    "test": _test,
    "rehearsal": _rehearsal,
    "permissions": _permissions,
    "checkov": _checkov,
}


def _judged(findings: list[str], praise: str) -> Outcome:
    return Outcome(not findings, "\n".join(findings) or praise)


def _tool(workshop: Workshop, module: str, *arguments: Path | str) -> Any:
    """What one of our modules prints as JSON in the tools' environment."""
    command = [str(workshop.python), "-m", f"infra.check.{module}", *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
