"""`make destroy`: removes a deployment, after a confirmation."""

from __future__ import annotations

from infra.deploy.existing_deployment import ExistingDeployment
from infra.deploy.images import UNKNOWN
from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.stages import prepare, running_page, sign_in
from infra.deploy.target import Target, UsageError
from infra.deploy.terraform import UNBUILT
from model.text import quoted

# Folders that deploy itself fills, by bucket: the sources of images, and uploads of the smoke test.
_OURS = {"models": "builds", "uploads": "smoke"}


def destroy(shell: Shell, target: Target, confirmed: str) -> None:
    """Remove the protection, then everything except non-empty buckets. Raises CommandFailed, UsageError."""
    if confirmed != target.project:
        reason = f"CONFIRM is {quoted(confirmed)}, which is not the project" if confirmed else "CONFIRM is missing"
        raise UsageError(
            f"{reason}; CONFIRM={target.project} removes everything of {target.workspace}: topics with their messages, "
            "worker, images, rows in BigQuery, and empty buckets. The worker and the tables are protected "
            "(deletion_protection); the command first removes the protection"
        )
    sign_in(shell, target)
    terraform, existing = prepare(shell, target, "region", "compute", "page")
    running = f"{target.image('worker')}@{UNKNOWN}" if shell.dry else existing.image
    given = {"image": running or UNBUILT, "deletion_protection": "false", **existing.artifact(target)}
    if target.page == "on":
        given |= running_page(shell, target, existing) or {"page_image": UNBUILT}
    # Without an image, the worker does not exist, and an apply would create it.
    if running or target.compute == "function":
        shell.say("first remove deletion_protection from the worker and the tables")
        terraform.apply(**given)
    if shell.dry or existing.outputs.get("buckets"):
        _tidy(shell, target, existing)
    try:
        terraform.destroy(**given)
    except CommandFailed as exc:
        # Only buckets that Terraform created: nothing in a brought one is to be deleted.
        names = {name: target.bucket(name) for name in ("uploads", "payloads", "models", "response-store")}
        own = [bucket for name, bucket in names.items() if existing.bucket(target, name) == bucket]
        empty = [f"  gcloud storage rm --recursive 'gs://{bucket}/**'" for bucket in own]
        hint = "Non-empty buckets are kept. To delete their content for good before you run this again:"
        raise CommandFailed("\n".join([str(exc), hint, *empty])) from exc


def _tidy(shell: Shell, target: Target, existing: ExistingDeployment) -> None:
    """Empty the folders that deploy itself fills."""
    for name, folder in _OURS.items():
        bucket = f"gs://{existing.bucket(target, name)}"
        listed = shell.ask("gcloud", "storage", "ls", bucket, hint="Can the account list the bucket?")
        if shell.dry or f"{bucket}/{folder}/" in listed.split():
            remove = ("gcloud", "storage", "rm", "--recursive", f"{bucket}/{folder}/")
            shell.run(*remove, hint="Can the account delete objects in the bucket?")
