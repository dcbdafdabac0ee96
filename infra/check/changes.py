"""Checks plans of existing deployments: a second plan changes nothing, and options that come later replace no grant.

A grant that Terraform replaces is missing for seconds to minutes. With `kms_key`, no bucket can be read meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from infra.check import scenarios
from infra.check.terraform import Terraform

# By scenario: what it is changed into, with the variables that change.
LATER: dict[str, dict[str, dict[str, str]]] = {
    "push": {name: given for name, given in scenarios.SCENARIOS.items() if name != "push"},
    "worker": {"`scale`": scenarios.SCENARIOS["`scale`"], "kafka": scenarios.COMPUTE["kafka"]},
    "`scale`": {"worker": {"scale": "null"}},
    "everything": {"a function": {"compute": "function", "function_source": "topology.yaml"}},
}

# A switch of `compute` moves the invoker's right from the old worker to the new one.
_MOVED = {("google_cloud_run_v2_service_iam_member.invoker[0]", "name")}

# An alert gets a channel that is created in the same apply: the alert is changed in place.
_NOTIFIED = {'google_monitoring_alert_policy.this["drift"]': {"notification_channels"}}

Shown = Mapping[str, Any]


def check(terraform: Terraform, folder: Path) -> Iterator[str]:
    """Yield findings about the deployments that were rehearsed in `folder`. Raises RuntimeError."""

    def of(scenario: str) -> list[str]:
        here, given = scenarios.place(folder, scenario), scenarios.EXAMPLE | scenarios.SCENARIOS[scenario]
        findings = [f"{scenario}: {finding}" for finding in repeated(terraform.planned(here, given))]
        for later, variables in LATER.get(scenario, {}).items():
            plan = terraform.planned(here, given | variables)
            findings += [f"{scenario}, then {later}: {finding}" for finding in changed(plan, "compute" in variables)]
        return findings

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from chain.from_iterable(pool.map(of, scenarios.SCENARIOS))


def repeated(plan: Shown) -> Iterator[str]:
    """Yield what a plan of an unchanged deployment would do."""
    for each in plan["resource_changes"]:
        if each["change"]["actions"] != ["no-op"]:
            yield f"a second plan would {' and '.join(each['change']['actions'])} {each['address']}"
    for name, change in plan.get("output_changes", {}).items():
        if change["actions"] != ["no-op"]:
            yield f"a second plan would {' and '.join(change['actions'])} the output {name}"


def changed(plan: Shown, compute: bool) -> Iterator[str]:
    """Yield what a plan must not do to existing resources; `compute`: whether the plan also switches `compute`."""
    for each in plan["resource_changes"]:
        address, before, after = (each["address"], *(each["change"][when] for when in ("before", "after")))
        if before is None or after is None:
            continue
        if "_iam_member." in address:
            allowed = {name for grant, name in _MOVED if grant == address and compute}
            wrong = [name for name in before if before[name] != after.get(name) and name not in allowed]
            yield from (f"{address} would be replaced, because {name} changes or is not known" for name in wrong)
        elif not compute:
            unknown = {name for name, marks in each["change"]["after_unknown"].items() if _any(marks)}
            if unknown - _NOTIFIED.get(address, set()):
                yield f"{address} would change to values that are not known"


def _any(unknown: Any) -> bool:
    """Whether anything is marked in the tree of unknown values."""
    if isinstance(unknown, (dict, list)):
        return any(map(_any, unknown.values() if isinstance(unknown, dict) else unknown))
    return bool(unknown)
