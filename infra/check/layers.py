"""The layers of the check, cheapest first. Each one checks a folder of Terraform files."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.check import changes, examples, order, outputs, permissions, scan, scenarios, tables, variables
from infra.check.terraform import Outcome, Terraform
from infra.check.toolchain import INFRA, ROOT, Toolchain

_UNREHEARSED = Outcome(False, "there is nothing to check, because the rehearsal failed")

Layer = Callable[[Toolchain, Terraform, Path], Outcome]


def _topology(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """topology.yaml follows its JSON Schema, and every name that it uses is declared."""
    schema = folder / "schemas" / "topology.schema.json"
    return _judged(_tool(toolchain, "topology", folder / "topology.yaml", schema), "follows its JSON Schema")


def schema_findings(toolchain: Toolchain, folders: Sequence[Path]) -> dict[str, list[str]]:
    """The findings of static.py by folder, with one process for all folders."""
    schemas = [file for version in toolchain.schemas.values() for file in version.values()]
    found = _tool(toolchain, "static", *schemas, "--", *folders)
    return {str(folder): list(findings) for folder, findings in found.items()}


def _schema(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """The *.tf files follow the providers' schemas in every version of schemas.txt."""
    files, versions = len(list(folder.glob("*.tf"))), ", ".join(toolchain.schemas)
    return _judged(schema_findings(toolchain, [folder])[str(folder)], f"{files} files match google {versions}")


def _variables(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """module.md documents the current variables."""
    findings = list(variables.check(folder, tables.PAGE.read_text()))
    return _judged(findings, f"as {tables.PAGE.name} documents them")


def _fmt(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """Run `terraform fmt -check`."""
    places = (folder, INFRA / "examples")
    outcomes = [terraform(place, "fmt", "-check", "-diff", "-recursive") for place in places]
    return _judged([outcome.output for outcome in outcomes if not outcome.ok], "formatted")


def _validate(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """Run `terraform init` and `terraform validate`."""
    outcome = terraform(folder, "init", "-backend=false", "-input=false")
    return terraform(folder, "validate") if outcome.ok else outcome


def _test(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """Run `terraform test` with mocked providers, in one process per file, because Terraform runs files in sequence."""

    def one(file: Path) -> Outcome:
        return terraform(folder, "test", f"-filter={file.relative_to(folder)}")

    # The longest first, so that no processor waits for it at the end.
    files = sorted(folder.glob("tests/*.tftest.hcl"), key=lambda file: -file.read_text().count("\nrun "))
    if not files:
        return Outcome(False, "there are no tests")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(one, files))
    passed = [re.search(r"([1-9]\d*) passed, 0 failed", outcome.output) if outcome.ok else None for outcome in outcomes]
    failed = [outcome.output for outcome, runs in zip(outcomes, passed, strict=True) if not runs]
    return _judged(failed, f"{sum(int(runs[1]) for runs in passed if runs)} runs")


def _order(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """A fresh project is created in a working order, for all values of the variables."""
    outcome = terraform(folder, "graph", "-type=plan")
    if not outcome.ok:
        return outcome
    graph = order.read(outcome.output)
    return _judged(list(order.check(graph)), f"{len(order.RULES)} rules over {len(graph)} nodes")


def _rehearsal(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """Plan and apply every scenario with the fake providers. Later layers read the resulting plans and states."""
    try:
        count = scenarios.rehearse(terraform, folder)
    except RuntimeError as exc:
        return Outcome(False, str(exc))
    return Outcome(True, f"{len(scenarios.SCENARIOS)} deployments, {count} resources planned and applied")


def _changes(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """A second plan of each rehearsed deployment is empty, and options that are added later leave grants alone."""
    if not scenarios.rehearsed(folder):
        return _UNREHEARSED
    try:
        findings = list(changes.check(terraform, folder))
    except RuntimeError as exc:
        return Outcome(False, str(exc))
    later = sum(map(len, changes.LATER.values()))
    return _judged(findings, f"{len(scenarios.SCENARIOS)} second plans, {later} changes")


def _outputs(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """module.md documents the current outputs."""
    if not scenarios.rehearsed(folder):
        return _UNREHEARSED
    return _judged(list(outputs.check(folder, tables.PAGE.read_text())), f"as {tables.PAGE.name} documents them")


def _examples(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """Roots that call the module are valid, can be planned before their own resources exist, and then do not change."""
    roots = examples.roots()
    return _judged(list(examples.check(terraform, folder, roots)), f"{len(roots)} roots planned and applied")


def _permissions(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """Every grant has a reason, and PERMISSIONS.md lists it."""
    if not scenarios.rehearsed(folder):
        return _UNREHEARSED
    found, reasons = scenarios.resources(folder), permissions.reasons()
    findings = permissions.check(found, permissions.PAGE.read_text(), reasons)
    return _judged(list(findings), f"as {permissions.PAGE.name} lists them")


def _checkov(toolchain: Toolchain, terraform: Terraform, folder: Path) -> Outcome:
    """checkov finds nothing in the plans, apart from the exceptions of skips.toml."""
    if not scenarios.rehearsed(folder):
        return _UNREHEARSED
    skips = scan.skips()
    try:
        reports = scan.run(toolchain.checkov, scenarios.plans(folder))
    except RuntimeError as exc:
        return Outcome(False, str(exc))
    passed = sum(report["summary"]["passed"] for report in reports)
    return _judged(list(scan.check(reports, skips)), f"{passed} checks passed, {len(skips)} exceptions")


LAYERS: dict[str, Layer] = {
    "topology": _topology,
    "schema": _schema,
    "variables": _variables,
    "fmt": _fmt,
    "validate": _validate,
    "order": _order,
    "test": _test,
    "rehearsal": _rehearsal,
    "changes": _changes,
    "outputs": _outputs,
    "permissions": _permissions,
    "examples": _examples,
    "checkov": _checkov,
}


def _judged(findings: list[str], success: str) -> Outcome:
    return Outcome(not findings, "\n".join(findings) or success)


def _tool(toolchain: Toolchain, module: str, *arguments: Path | str) -> Any:
    """The JSON output of one of this package's modules, run in the tools' environment."""
    command = [str(toolchain.python), "-m", f"infra.check.{module}", *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
