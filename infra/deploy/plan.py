"""`make plan`: prints what `make deploy` would change, or whether the deployment differs from the files."""

from __future__ import annotations

from dataclasses import replace

from infra.deploy import models
from infra.deploy.images import Build, expected
from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.stages import artifact_place, prepare, running_page, sign_in
from infra.deploy.target import Target
from infra.deploy.terraform import FAILED
from model.artifact.load import Artifact


def plan(shell: Shell, target: Target, artifact: Artifact | None, build: Build) -> None:
    """Print Terraform's plan with the image and the artifact that `make deploy` would use. Raises CommandFailed."""
    place = artifact_place(artifact)
    sign_in(shell, target)
    terraform, existing = prepare(shell, target, "region")
    if target.models:
        build = replace(build, lock=models.expected_lock(shell, target, existing))
    image = {} if target.compute == "function" else {"image": expected(shell, target, build, existing.has_registry)}
    if target.page == "on":
        image |= {"page_image": expected(shell, target, build.of_page, existing.has_registry)}
    terraform.plan(hint=FAILED, **image, **place)


def drift(shell: Shell, target: Target) -> None:
    """Check that the deployment equals the files, with the image and the artifact that run. Raises CommandFailed."""
    sign_in(shell, target)
    terraform, existing = prepare(shell, target, "region", "compute", "page")
    if not (shell.dry or existing.is_complete):
        raise CommandFailed(f"nothing is deployed in {target.workspace}, according to this Terraform state.")
    image = {"image": existing.image} if existing.image else {}
    hint = "With exit code 2, the deployment differs from the files as shown; with 1, Terraform gives the reason."
    image |= running_page(shell, target, existing)
    terraform.plan("-detailed-exitcode", hint=hint, **image, **existing.artifact(target))
