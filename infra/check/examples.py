"""Rehearses the roots that call infra/ as a module: those of examples/, and the one at the top of README.md.

Each must be valid, be planned and applied while the ids of its own resources are not known, and then not change.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.check import changes, scenarios
from infra.check.terraform import Terraform, copy_files
from infra.check.toolchain import INFRA

FOLDER = "called"
PAGE = INFRA / "README.md"

_USAGE = re.compile(r"^```hcl\n(.*?)^```$", re.M | re.S)
_SOURCE = re.compile(r'(source *= )"[^"]+//infra[^"]*"')
_VARIABLE = re.compile(r'^variable "(\w+)"', re.M)


def roots() -> dict[str, str]:
    """The text of each root by its name, with `../..` as the module's place."""
    found = {file.parent.name: file.read_text() for file in sorted(INFRA.glob("examples/*/main.tf"))}
    [usage] = _USAGE.findall(PAGE.read_text())
    return found | {PAGE.name: _SOURCE.sub(r'\1"../.."', usage)}


def check(terraform: Terraform, folder: Path, roots: Mapping[str, str]) -> Iterator[str]:
    """Yield findings about roots that call the module in `folder`."""
    module = folder / FOLDER
    shutil.rmtree(module, ignore_errors=True)
    copy_files(module, folder)

    def one(name: str, text: str) -> list[str]:
        root = module / "examples" / name
        root.mkdir(parents=True)
        (root / "main.tf").write_text(text)
        return [f"{name}: {finding}" for finding in rehearse(terraform, root)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for findings in pool.map(one, *zip(*roots.items(), strict=True)):
            yield from findings


def rehearse(terraform: Terraform, root: Path) -> Iterator[str]:
    """Yield findings about one root: what its validation, its plan, its apply or its second plan says."""
    wanted = set(_VARIABLE.findall((root / "main.tf").read_text()))
    given = {name: value for name, value in scenarios.EXAMPLE.items() if name in wanted}
    for command in (("init", "-backend=false", "-input=false"), ("validate",)):
        if not (outcome := terraform(root, *command)).ok:
            yield outcome.output
            return
    try:
        if not terraform.planned(root, given)["resource_changes"]:
            yield "creates nothing"
        terraform.applied(root)
        yield from changes.repeated(terraform.planned(root, given))
    except RuntimeError as exc:
        yield str(exc)
