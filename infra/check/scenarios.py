"""The rehearsed scenarios: each compute mode, each option that adds a grant or an API, and all options together."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.check.terraform import Terraform, attached, copy_files
from infra.check.toolchain import BUILD, prepare

# Name of the folder with the copies.
FOLDER = "rehearsed"

# Values of the variables without a default.
EXAMPLE = {"project_id": "some-project", "image": "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"}

# Each value of `compute`, with all options off.
COMPUTE = {
    "push": {"bigquery": "false"},
    "worker": {"compute": "worker", "bigquery": "false"},
    # Any existing file serves as the archive.
    "function": {"compute": "function", "function_source": "topology.yaml", "bigquery": "false"},
    "kafka": {"compute": "kafka", "kafka": '{bootstrap = "kafka.example.com:9092"}', "bigquery": "false"},
}

_OPTIONS = {
    "bigquery": {"bigquery": "true"},
    "analysts": {"analysts": '{of_yours = "group:analysts@example.com"}'},
    "http_endpoint": {"http_endpoint": "internal"},
    "endpoint_callers": {"endpoint_callers": '{of_yours = "group:endpoint_callers@example.com"}'},
    "response_store": {"response_store": "true"},
    "models": {"models": '["clothing", "shoes@live"]'},
    "model_publishers": {"model_publishers": '{of_yours = "group:model_publishers@example.com"}'},
    "nightly": {"nightly": '{bucket = "bucket-of-yours"}'},
    "retrain": {
        "retrain": '{bucket = "bucket-of-yours", model = "clothing", backbone = "MobileNetV2", on_drift = true, '
        'image = "europe-west1-docker.pkg.dev/some-project/images/train@sha256:0"}'
    },
    "page": {
        "page": '{members = {of_yours = "group:members@example.com"}}',
        "page_image": "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0",
    },
    "training_requesters": {"training_requesters": '{of_yours = "group:training_requesters@example.com"}'},
    "clients": {"clients": '{of_yours = "group:clients@example.com"}'},
    "client_subscriptions": {"client_subscriptions": "true"},
    "kms_key": {"kms_key": '{id = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/key-of-yours"}'},
    "budget": {"budget": '{billing_account = "012345-6789AB-CDEF01", amount = 50}'},
}
_CONFIGURED = '{bootstrap = "kafka.example.com:9093", config_secret = "projects/some-project/secrets/secret-of-yours"}'
_MANAGED = {
    "kafka": "null",
    "managed_kafka": "{}",
    "subnetwork": "projects/some-project/regions/europe-west1/subnetworks/subnetwork-of-yours",
}
_ALONE = (
    *("bigquery", "http_endpoint", "response_store", "models", "model_publishers", "nightly", "retrain", "clients"),
    *("kms_key", "budget", "page"),
)
_PAIRS = (
    ("bigquery", "analysts"),
    ("http_endpoint", "endpoint_callers"),
    ("retrain", "training_requesters"),
    ("http_endpoint", "response_store"),
    ("http_endpoint", "models"),
    ("page", "models"),
    ("clients", "client_subscriptions"),
    ("kms_key", "bigquery"),
)

# Variables in addition to EXAMPLE, by a description of the deployment.
SCENARIOS: dict[str, dict[str, str]] = {
    **COMPUTE,
    **{f"`{name}`": COMPUTE["push"] | _OPTIONS[name] for name in _ALONE},
    **{f"`{one}` and `{other}`": COMPUTE["push"] | _OPTIONS[one] | _OPTIONS[other] for one, other in _PAIRS},
    "`kms_key` and a function": COMPUTE["function"] | _OPTIONS["kms_key"],
    "`page` and `artifact_prefix`": COMPUTE["push"] | _OPTIONS["page"] | {"artifact_prefix": "shoes/3"},
    "`scale`": COMPUTE["worker"] | {"scale": "{max = 10, rate = 24}"},
    "`kafka.config_secret`": COMPUTE["kafka"] | {"kafka": _CONFIGURED},
    "`managed_kafka`": COMPUTE["kafka"] | _MANAGED,
    "`managed_kafka` and `kms_key`": COMPUTE["kafka"] | _MANAGED | _OPTIONS["kms_key"],
    "everything": {name: value for option in _OPTIONS.values() for name, value in option.items()},
}


def rehearse(terraform: Terraform, folder: Path) -> int:
    """Plan and apply each scenario in its own copy of `folder`; returns the resource count. Raises RuntimeError."""

    shutil.rmtree(folder / FOLDER, ignore_errors=True)

    def one(scenario: str) -> int:
        here = copy_files(place(folder, scenario), folder)
        plan = terraform.planned(here, EXAMPLE | SCENARIOS[scenario])
        (here / "plan.json").write_text(json.dumps(plan))
        (here / "state.json").write_text(json.dumps(terraform.applied(here)))
        return len(plan["resource_changes"])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(one, SCENARIOS))


def rehearse_files() -> Path:
    """Rehearse the committed files, for the pages that are written from the result; returns the folder.

    Raises Unavailable, RuntimeError.
    """
    folder = copy_files(BUILD / "pages")
    with attached(prepare()) as terraform:
        rehearse(terraform, folder)
    return folder


def rehearsed(folder: Path) -> bool:
    """Whether every scenario was planned and applied."""
    return all((place(folder, scenario) / "state.json").is_file() for scenario in SCENARIOS)


def plans(folder: Path) -> list[Path]:
    """The files with the plan of each scenario that was rehearsed in `folder`."""
    return [place(folder, scenario) / "plan.json" for scenario in SCENARIOS]


def resources(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The resources after each scenario's apply, as `terraform show -json` lists them."""
    states = {scenario: json.loads((place(folder, scenario) / "state.json").read_text()) for scenario in SCENARIOS}
    return {scenario: state["values"]["root_module"]["resources"] for scenario, state in states.items()}


def place(folder: Path, scenario: str) -> Path:
    """The folder in which a scenario is rehearsed."""
    return folder / FOLDER / str(list(SCENARIOS).index(scenario))
