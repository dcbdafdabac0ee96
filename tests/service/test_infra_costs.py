"""The costs in infra/README.md are what `predictions plan` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("Cloud Run", "Pub/Sub", "Storage", "BigQuery", "Logging")
LOADS = (
    "--images-per-day 1e3",
    "--images-per-day 1e5",
    "--images-per-day 1e6",
    "--images-per-day 1e6 --carrier upload",
    "--images-per-day 1e7",
)


def row(load: str) -> str:
    """The line of the table for a load."""
    command = [sys.executable, "-m", "client", "plan", "--bigquery", "--json", *load.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    plan = json.loads(done.stdout)["plans"][0]
    bill = {line["name"]: line["gross"] - line["free"] for line in plan["bill"]}
    sums = [sum(usd for name, usd in bill.items() if name.startswith(group)) for group in GROUPS]
    assert sum(sums) == pytest.approx(plan["usd"]["to_pay"]), bill
    size = plan["size"]
    worker = f"{size['delivery']}, at most {size['max_instances']} of {size['cpu']} vCPU"
    cells = [f"{usd:,.2f}" for usd in (*sums, plan["usd"]["to_pay"], plan["usd_per_million"]["to_pay"])]
    return f"| `{load}` | {' | '.join([worker, *cells])} |"


@pytest.mark.parametrize("load", LOADS)
def test_the_costs_in_the_readme_are_those_of_a_plan(load: str) -> None:
    assert row(load) in (ROOT / "infra" / "README.md").read_text().splitlines()
