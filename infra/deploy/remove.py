"""What `make destroy` does, and what it says before and after."""

from __future__ import annotations

from infra.deploy.images import UNKNOWN
from infra.deploy.shell import Shell, Stopped
from infra.deploy.stages import prepare, sign_in
from infra.deploy.target import Target, Wrong
from infra.deploy.terraform import UNBUILT
from model.text import quoted

_OURS = {"models": "builds", "uploads": "smoke"}
"""What deploy itself leaves in buckets: the sources of images, and those that the smoke test dropped."""


def destroy(shell: Shell, target: Target, confirmed: str) -> None:
    """Take the protection off, then remove everything but buckets that hold something. Raises Stopped, Wrong."""
    if confirmed != target.project:
        said = f"CONFIRM is {quoted(confirmed)}, which is not the project" if confirmed else "nothing is confirmed"
        raise Wrong(
            f"{said}; CONFIRM={target.project} has everything of {target.workspace} removed: topics and what waits in "
            "them, worker, images, rows in BigQuery, and buckets that are empty. Worker and tables are protected "
            "(deletion_protection): that is taken off first"
        )
    sign_in(shell, target)
    terraform, standing = prepare(shell, target, "region", "compute")
    running = f"{target.worker_image}@{UNKNOWN}" if shell.dry else standing.image
    given = {"image": running or UNBUILT, "deletion_protection": "false", **standing.place}
    # What has no image yet would only be made by this, not freed.
    if running or target.compute == "function":
        shell.say("first deletion_protection is taken off the worker and the tables")
        terraform.apply(**given)
    if shell.dry or standing.outputs.get("buckets"):
        _tidy(shell, target)
    try:
        terraform.destroy(**given)
    except Stopped as exc:
        names = (target.bucket(name) for name in ("uploads", "payloads", "models", "response_store"))
        empty = [f"  gcloud storage rm --recursive 'gs://{name}/**'" for name in names]
        hint = "Buckets that hold something stay. To empty them for good, before you run this again:"
        raise Stopped("\n".join([str(exc), hint, *empty])) from exc


def _tidy(shell: Shell, target: Target) -> None:
    """Empty the folders that are deploy's own."""
    for name, folder in _OURS.items():
        bucket = f"gs://{target.bucket(name)}"
        listed = shell.ask("gcloud", "storage", "ls", bucket, otherwise="May you look into the bucket?")
        if shell.dry or f"{bucket}/{folder}/" in listed.split():
            remove = ("gcloud", "storage", "rm", "--recursive", f"{bucket}/{folder}/")
            shell.run(*remove, otherwise="May you delete what is in the bucket?")
