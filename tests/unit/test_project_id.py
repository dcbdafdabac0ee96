"""Names that contain a project's id, also one with a domain."""

from __future__ import annotations

import pytest

from client.doctor.deployment import Deployment
from client.project_id import bucket_name, registry, service_account
from infra.deploy.target import Target


@pytest.mark.parametrize(
    ("project", "bucket", "account", "images"),
    [
        ("some-project", "some-project-uploads", "builder@some-project", "some-project"),
        ("example.com:shop-1", "example-com-shop-1-uploads", "builder@shop-1.example.com", "example.com/shop-1"),
    ],
)
def test_names_contain_the_project(project: str, bucket: str, account: str, images: str) -> None:
    assert bucket_name(project, "uploads") == bucket
    assert service_account("builder", project) == f"{account}.iam.gserviceaccount.com"
    assert registry("europe-west1", project) == f"europe-west1-docker.pkg.dev/{images}"


def test_deploy_and_doctor_accept_a_project_of_a_domain() -> None:
    target = Target("example.com:shop-1", prefix="dev")
    assert target.bucket("uploads") == "example-com-shop-1-dev-uploads"
    assert target.image("worker") == "europe-west1-docker.pkg.dev/example.com/shop-1/dev-images/worker"
    assert target.builder == "dev-prediction-builder@shop-1.example.com.iam.gserviceaccount.com"
    doctor = Deployment("example.com:shop-1", "https://w", "dev-", "us-east1")
    assert doctor.invoker == "dev-prediction-invoker@shop-1.example.com.iam.gserviceaccount.com"
