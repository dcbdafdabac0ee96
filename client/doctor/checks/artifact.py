"""Checks the artifact: it can be read, and every file matches its manifest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from client.doctor.clients import Clients, call
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.gcp import UPLOAD_TIMEOUT_S, UsageError
from client.text import printable
from model.artifact import SHIPPED

BUCKET = "gs://"


def shipped() -> str:
    """Return the shipped artifact's folder, relative to the current folder if it is below it."""
    here = Path.cwd()
    return str(SHIPPED.relative_to(here) if SHIPPED.is_relative_to(here) else SHIPPED)


def check_place(place: str) -> str:
    """Return where an artifact is: a folder or gs://bucket/prefix. Raises UsageError for anything else."""
    bucket, _, prefix = place.removeprefix(BUCKET).partition("/")
    if "://" in place and not (place.startswith(BUCKET) and bucket and prefix.strip("/")):
        raise UsageError(f"--artifact is {printable(place)!r}; it must be a folder or look like gs://bucket/prefix")
    return place


def check_artifact(clients: Clients, place: str) -> Iterator[Finding]:
    """Yield one finding. An artifact in a bucket is downloaded as a whole, as a worker does."""
    from model.artifact.load import ArtifactError, read_artifact

    with TemporaryDirectory() as temporary:
        folder = Path(temporary) if place.startswith(BUCKET) else Path(place)
        try:
            if place.startswith(BUCKET):
                _download(clients, place, folder)
            artifact = read_artifact(folder)
        except (ArtifactError, FileNotFoundError) as exc:
            yield fail("artifact", printable(str(exc).replace(str(folder), place)), _fix(clients.project, place))
        else:
            digest = artifact.digest[:19]
            yield ok("artifact", f"{artifact.name} {artifact.version}, {digest}… verified in {place}")


def _download(clients: Clients, place: str, folder: Path) -> None:
    bucket, _, prefix = place.removeprefix(BUCKET).partition("/")
    limits, root = clients.storage_limits, f"{prefix.strip('/')}/"
    listed = call("storage.objects.list", _listed, clients=clients, bucket=bucket, prefix=root)
    if listed is None:
        raise FileNotFoundError(f"the bucket {bucket} does not exist")
    for blob in listed:
        path = folder / blob.name.removeprefix(root)
        if not path.resolve().is_relative_to(folder.resolve()) or blob.name.endswith("/"):
            continue  # a name that no artifact has
        path.parent.mkdir(parents=True, exist_ok=True)
        download = blob.download_to_filename
        call("storage.objects.get", download, filename=str(path), **(limits | {"timeout": UPLOAD_TIMEOUT_S}))


def _listed(clients: Clients, bucket: str, prefix: str) -> list[object]:
    return list(clients.storage.list_blobs(bucket, prefix=prefix, **clients.storage_limits))


def _fix(project: str, place: str) -> str:
    """Return the command that restores the artifact.

    The shipped artifact is in git, or in the installed package; `export` writes others to build/artifacts.
    """
    name = Path(place).name
    if place.startswith(BUCKET):
        source = shipped() if name == SHIPPED.name else f"build/artifacts/{name}"
        return gcloud(project, "storage", "rsync", "--recursive", source, place)
    if name != SHIPPED.name:
        return shlex.join(["predictions", "model", "export", "--run", f"build/train/{name}"])
    if "site-packages" in Path(place).resolve().parts:
        return "pip install --force-reinstall --no-deps image-prediction-pipeline"
    return shlex.join(["git", "restore", place])
