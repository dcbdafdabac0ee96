"""The deployments that are rehearsed: each compute mode, each option that lets somebody in, and all of them at once."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.check.terraform import Terraform, copy_files

EXAMPLE = {"project_id": "some-project", "image": "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"}
"""The variables that have no default."""

COMPUTE = {
    "push": {"bigquery": "false"},
    "worker": {"compute": "worker", "bigquery": "false"},
    # Any file will do for an archive here.
    "function": {"compute": "function", "function_source": "topology.yaml", "bigquery": "false"},
}
"""What `compute` may be, with every option off."""

_OPTIONS = {
    "bigquery": {"bigquery": "true"},
    "analysts": {"analysts": '["group:analysts@example.com"]'},
    "http_endpoint": {"http_endpoint": "internal"},
    "endpoint_callers": {"endpoint_callers": '["group:endpoint_callers@example.com"]'},
    "response_store": {"response_store": "true"},
    "nightly": {"nightly": '{bucket = "bucket-of-yours"}'},
    "clients": {"clients": '["group:clients@example.com"]'},
    "kms_key": {"kms_key": "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/key-of-yours"},
}
_ALONE = ("bigquery", "http_endpoint", "response_store", "nightly", "clients", "kms_key")
_PAIRS = (
    ("bigquery", "analysts"),
    ("http_endpoint", "endpoint_callers"),
    ("http_endpoint", "response_store"),
    ("kms_key", "bigquery"),
)

WAYS: dict[str, dict[str, str]] = {
    **COMPUTE,
    **{f"`{name}`": COMPUTE["push"] | _OPTIONS[name] for name in _ALONE},
    **{f"`{one}` and `{other}`": COMPUTE["push"] | _OPTIONS[one] | _OPTIONS[other] for one, other in _PAIRS},
    "`kms_key` and a function": COMPUTE["function"] | _OPTIONS["kms_key"],
    "everything": {name: value for option in _OPTIONS.values() for name, value in option.items()},
}
"""Variables besides EXAMPLE, by the words for when a deployment is so."""


def rehearse(terraform: Terraform, folder: Path) -> int:
    """Plan and apply each way in a copy of its own of `folder`: how many resources in all. Raises RuntimeError."""

    def one(way: str) -> int:
        here = copy_files(_place(folder, way), folder)
        plan = terraform.planned(here, EXAMPLE | WAYS[way])
        (here / "plan.json").write_text(json.dumps(plan))
        (here / "state.json").write_text(json.dumps(terraform.applied(here)))
        return len(plan["resource_changes"])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(one, WAYS))


def rehearsed(folder: Path) -> bool:
    """Whether every way has been walked to its end."""
    return all((_place(folder, way) / "state.json").is_file() for way in WAYS)


def plans(folder: Path) -> list[Path]:
    """What Terraform would do, a file for each way that was rehearsed in `folder`."""
    return [_place(folder, way) / "plan.json" for way in WAYS]


def resources(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What was there after each way's apply, as `terraform show -json` lists it."""
    states = {way: json.loads((_place(folder, way) / "state.json").read_text()) for way in WAYS}
    return {way: state["values"]["root_module"]["resources"] for way, state in states.items()}


def _place(folder: Path, way: str) -> Path:
    return folder / "rehearsed" / str(list(WAYS).index(way))
