"""Several environments share one project: every resource name has the environment's prefix."""

from __future__ import annotations

from typing import Any

import pytest

from tests.terraform.conftest import Plan

NAMES = ("bucket", "name", "account_id", "role_id", "dataset_id", "repository_id", "display_name", "dashboard_json")
OF_THE_PROJECT = {"google_project_service", "google_project_service_identity"}
"""Shared, and left alone when an environment goes."""

EVERYTHING = {
    "http_endpoint": "anywhere",
    "response_store": "true",
    "nightly": '{ bucket = "photos" }',
    "alerts": '{ emails = ["someone@example.com"] }',
    "budget": '{ billing_account = "012345-6789AB-CDEF01", amount = 50 }',
    "kms_key": '{ id = "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key" }',
    "client_subscriptions": "true",
}


@pytest.mark.parametrize(
    "compute",
    [
        {},
        {"compute": "worker", "scale": "{ max = 3, rate = 20 }"},
        {"compute": "function", "function_source": "topology.yaml"},
    ],
    ids=str,
)
def test_every_resource_name_has_the_prefix(compute: dict[str, str], plan: Plan) -> None:
    made = [each for each in plan(prefix="dev", **EVERYTHING, **compute) if is_made(each)]

    names = {each["address"]: [str(each["values"].get(name)) for name in NAMES] for each in made}
    assert len(names) > 20
    assert [address for address, given in names.items() if not any("dev" in name for name in given)] == []


def is_made(resource: dict[str, Any]) -> bool:
    """Grants are left out: they belong to a named resource or member."""
    kind = resource["type"]
    return resource["mode"] == "managed" and kind not in OF_THE_PROJECT and not kind.endswith("_iam_member")
