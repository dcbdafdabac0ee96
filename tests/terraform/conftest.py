"""Shared fixtures: Terraform's plan of infra/."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from infra.check.scenarios import EXAMPLE
from infra.check.terraform import Terraform, copy_files

EVERY_ALERT = {
    "compute": "worker",
    "http_endpoint": "internal",
    "prefix": "dev",
    "models": '["fashion-mnist"]',
    "nightly": '{ bucket = "photos" }',
    "runbook_url": "https://wiki.example/runbook",
}
"""A deployment with every alert, in the project of an environment."""

ON_KAFKA = {
    "compute": "kafka",
    "kafka": '{ bootstrap = "kafka.example.com:9092" }',
    "http_endpoint": "internal",
    "prefix": "dev",
}
"""A deployment on a cluster of Kafka, with the endpoint's service, which consumes nothing of it."""

Plan = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def plan(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The resources of a plan, carried out by the stand-in provider: a push endpoint is not known before."""

    @cache
    def plan(**variables: str) -> list[dict[str, Any]]:
        folder = copy_files(tmp_path_factory.mktemp("infra") / "work")
        terraform.planned(folder, EXAMPLE | variables)
        return list(terraform.applied(folder)["values"]["root_module"]["resources"])

    return plan


@pytest.fixture(
    scope="module",
    params=[{}, EVERY_ALERT, ON_KAFKA],
    ids=["push", "pool, entry point, nightly job and prefix", "kafka"],
)
def planned(request: pytest.FixtureRequest, plan: Plan) -> list[dict[str, Any]]:
    """The resources of unlike deployments, in turn."""
    return plan(**request.param)


@pytest.fixture(scope="module")
def metrics(planned: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return metrics_of(planned)


def metrics_of(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The log-based metrics by name."""
    return {each["values"]["name"]: each["values"] for each in resources if each["type"] == "google_logging_metric"}
