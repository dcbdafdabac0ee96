"""The costs in infra/README.md are what `predictions plan` prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from client.plan.cost import monthly, total
from client.plan.measurements import read, shipped
from client.plan.performance import Delivery, workers
from client.plan.prices import Prices
from client.plan.sizing import sized
from client.plan.workload import Workload, usual_peak

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("Cloud Run", "Pub/Sub", "Storage", "BigQuery", "Logging", "Monitoring")
LOADS = (
    "--images-per-day 1e3",
    "--images-per-day 1e5",
    "--images-per-day 1e6",
    "--images-per-day 1e6 --carrier upload",
    "--images-per-day 1e7",
    "--images-per-day 1e6 --labels 1000",
    "--images-per-day 1e6 --labels 0",
)
FIXED = {"examples/prod.tfvars": "prod.tfvars", 'compute = "worker"': None}
"""Deployments with the sizes of a file of variables, over the defaults, by how the table names them."""


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
    return line(f"`{load}`", worker, [*sums, plan["usd"]["to_pay"], plan["usd_per_million"]["to_pay"]])


def line(name: str, worker: str, amounts: Sequence[float]) -> str:
    return f"| {' | '.join([name, worker, *(f'{usd:,.2f}' for usd in amounts)])} |"


def fixed_row(name: str, file: str | None) -> str:
    """The line of the table for a deployment of the sizes of `file`, at 100,000 images a day."""
    default = (ROOT / "infra" / "sizes.tf").read_text()
    given = (ROOT / "infra" / "examples" / file).read_text() if file else 'compute = "worker"'
    delivery: Delivery = "pull" if 'compute = "worker"' in given else "push"

    def number(variable: str) -> int:
        found = re.search(rf"^{variable} += (\d+)", given, re.M) or re.search(
            rf'^variable "{variable}" {{.*?default += "?(\d+)', default, re.M | re.S
        )
        assert found, variable
        return int(found[1])

    store = "response_store = true" in given
    load = Workload(1e5, usual_peak(1e5), 24, 40_000, "message", 10, bigquery=True, response_store=store)
    prices, (ours, _) = Prices.read(), workers(read([shipped(load.image_bytes)]))
    size = sized(load, ours.deliveries[delivery], delivery, prices.behaviour)
    size = replace(size, cpu=number("cpu"), memory_mib=1024 * number("memory"), needed=number("instances"))
    size = replace(size, min_instances=number("min_instances"), max_instances=number("max_instances"))
    lines = monthly(load, size, prices)
    sums = [sum(each.gross - each.free for each in lines if each.name.startswith(group)) for group in GROUPS]
    most = size.max_instances if delivery == "push" else size.needed
    worker = f"{delivery}, {f'{size.min_instances} to {most}' if delivery == 'push' else most} of {size.cpu} vCPUs"
    return line(f"1e5 a day, `{name}`", worker, [*sums, total(lines), total(lines) / (load.images_per_month / 1e6)])


@pytest.mark.parametrize("load", LOADS)
def test_the_costs_in_the_readme_are_those_of_a_plan(load: str) -> None:
    assert row(load) in (ROOT / "infra" / "README.md").read_text().splitlines()


@pytest.mark.parametrize(("name", "file"), FIXED.items())
def test_the_costs_of_the_examples_are_calculated(name: str, file: str | None) -> None:
    assert fixed_row(name, file) in (ROOT / "infra" / "README.md").read_text().splitlines()
