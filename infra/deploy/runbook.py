"""Prints the runbook with the names of a deployment: `make runbook`, or `python3 -m infra.deploy.runbook`.

It needs neither installed packages nor Google Cloud. infra/runbook.tf gives alerts the same names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

from infra.deploy.target import Target, UsageError

PAGE = Path(__file__).resolve().parents[1] / "runbook.md"

_PARTS = {"push": "worker", "worker": "pool", "function": "function", "kafka": "pool"}


def arguments(target: Target) -> str:
    """The arguments of make for a deployment, also those with a default value."""
    prefix = f" PREFIX={target.prefix}" if target.prefix else ""
    return f"PROJECT={target.project} REGION={target.region} COMPUTE={target.compute}{prefix}"


def names(target: Target) -> dict[str, str]:
    """The values of the runbook's placeholders."""
    services = " OR ".join(f'"{target.named(f"prediction-{part}")}"' for part in ("worker", "function", "endpoint"))
    pool = target.named("prediction-pool")
    files = ",".join(map(str, target.tfvars)) or "YOURS.tfvars"
    doctor = f"--project {target.project} --region {target.region} --compute {target.compute}"
    return {
        "WORKSPACE": target.workspace,
        "PROJECT": target.project,
        "REGION": target.region,
        "DEPLOY": f"{arguments(target)} TFVARS={files}",
        "DOCTOR": f"{doctor} --prefix {target.prefix}" if target.prefix else doctor,
        "LINES": f'(resource.labels.service_name=({services}) OR resource.labels.worker_pool_name="{pool}")',
        "WORKER": target.named(f"prediction-{_PARTS[target.compute]}"),
        "ENDPOINT": target.named("prediction-endpoint"),
        "NIGHTLY": target.named("prediction-nightly"),
        "SCALE": target.named("prediction-scale"),
        "REQUEST_TOPIC": target.named("req_predict"),
        "RESPONSE_TOPIC": target.named("res_predict"),
        "DEAD_TOPIC": target.named("dead_predict"),
        "REQUEST_SUBSCRIPTION": target.named("req_predict-sub"),
        "ANNOUNCE_SUBSCRIPTION": target.named("dead_predict-announce"),
        "DEAD_SUBSCRIPTION": target.named("dead_predict-sub"),
        "ROWS_SUBSCRIPTION": target.named("res_predict-bigquery"),
        "DEAD_ROWS": target.named("dead_bigquery-sub"),
        "UPLOADS": target.bucket("uploads"),
        "MODELS": target.bucket("models"),
        "REGISTRY": target.registry,
        "STORE": target.bucket("response-store"),
        "DATASET": target.named("predictions").replace("-", "_"),
    }


def page(target: Target) -> str:
    """The runbook with the names of a deployment."""
    return Template(PAGE.read_text()).substitute(names(target))


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Print the runbook for the arguments of make; returns the exit code."""
    try:
        print(page(Target.read(environ)), end="")
    except UsageError as exc:
        print(f"runbook: {exc}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
