"""The layers of the check, cheapest first. Each looks at a folder of Terraform files and says whether it holds."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.check.terraform import Outcome, Terraform
from infra.check.workshop import ROOT, Workshop

EXAMPLE = {"project_id": "some-project", "image": "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"}
"""The variables that have no default."""

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


def _fmt(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """`terraform fmt -check`."""
    outcome = terraform(folder, "fmt", "-check", "-diff", "-recursive")
    return Outcome(outcome.ok, outcome.said or "formatted")


def _validate(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """`terraform init` and `terraform validate`."""
    outcome = terraform(folder, "init", "-backend=false", "-input=false")
    return terraform(folder, "validate") if outcome.ok else outcome


def _test(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """`terraform test`, with mocked providers."""
    outcome = terraform(folder, "test")
    passed = re.search(r"([1-9]\d*) passed, 0 failed", outcome.said)
    return Outcome(True, f"{passed[1]} runs") if outcome.ok and passed else Outcome(False, outcome.said)


def _rehearsal(workshop: Workshop, terraform: Terraform, folder: Path) -> Outcome:
    """Plan and apply on the stand-ins: the whole graph, walked in order."""
    try:
        plan, _ = terraform.rehearse(folder, EXAMPLE)
    except RuntimeError as exc:
        return Outcome(False, str(exc))
    return Outcome(True, f"{len(plan['resource_changes'])} resources planned and applied")


LAYERS: dict[str, Layer] = {
    "topology": _topology,
    "schema": _schema,
    "fmt": _fmt,
    "validate": _validate,
    "test": _test,
    "rehearsal": _rehearsal,
}


def _judged(findings: list[str], praise: str) -> Outcome:
    return Outcome(not findings, "\n".join(findings) or praise)


def _tool(workshop: Workshop, module: str, *arguments: Path | str) -> Any:
    """What one of our modules prints as JSON in the tools' environment."""
    command = [str(workshop.python), "-m", f"infra.check.{module}", *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
