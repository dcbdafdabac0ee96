"""Several environments live in one project: with everything on, no two of them name the same thing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.conftest import Plan

NAMES = ("bucket", "name", "account_id", "dataset_id", "repository_id")
OF_THE_PROJECT = {"google_project_service", "google_project_service_identity"}
"""Shared, and left alone when an environment goes."""

EVERYTHING = {
    "http_door": "anywhere",
    "ledger": "true",
    "nightly": '{ bucket = "photos" }',
    "kms_key": "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key",
}


@pytest.mark.parametrize(
    "compute", [{}, {"compute": "worker"}, {"compute": "function", "function_source": "topology.yaml"}], ids=str
)
def test_no_two_environments_name_the_same_thing(compute: dict[str, str], plan: Plan) -> None:
    dev, prod = (
        {name for each in plan(prefix=prefix, **EVERYTHING, **compute) for name in made(each)}
        for prefix in ("dev", "prod")
    )

    assert len(dev) == len(prod) > 20
    assert dev & prod == set()


def made(resource: dict[str, Any]) -> set[tuple[str, ...]]:
    """What a resource is called, if it is made; a grant is on something that is made."""
    kind, values = resource["type"], resource["values"]
    if resource["mode"] == "data" or kind in OF_THE_PROJECT or kind.endswith("_iam_member"):
        return set()
    return {(kind, *(str(values[name]) for name in (*NAMES, "table_id") if values.get(name)))} - {(kind,)}
