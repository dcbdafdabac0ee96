"""The artifact: within reach, and every file of it what its manifest says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from client.doctor.clients import Clients, look
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.grammar import SHIPPED
from client.gcp import UPLOAD_TIMEOUT_S, UsageError
from client.text import printable

BUCKET = "gs://"


def check_place(place: str) -> str:
    """Where an artifact is: a folder or gs://bucket/prefix. Raises UsageError for what is neither."""
    bucket, _, prefix = place.removeprefix(BUCKET).partition("/")
    if "://" in place and not (place.startswith(BUCKET) and bucket and prefix.strip("/")):
        raise UsageError(f"--artifact is {printable(place)!r}; it must be a folder or look like gs://bucket/prefix")
    return place


def check_artifact(clients: Clients, place: str) -> Iterator[Finding]:
    """One line. What is in a bucket is brought here whole, as a worker does."""
    from model.artifact.load import ArtifactError, read_artifact

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) if place.startswith(BUCKET) else Path(place)
        try:
            if place.startswith(BUCKET):
                _fetch(clients, place, folder)
            artifact = read_artifact(folder)
        except (ArtifactError, FileNotFoundError) as exc:
            yield fail("artifact", printable(str(exc).replace(str(folder), place)), _mend(clients.project, place))
        else:
            digest = artifact.digest[:19]
            yield ok("artifact", f"{artifact.name} {artifact.version}, {digest}… verified in {place}")


def _fetch(clients: Clients, place: str, folder: Path) -> None:
    bucket, _, prefix = place.removeprefix(BUCKET).partition("/")
    limits, root = clients.storage_limits, f"{prefix.strip('/')}/"
    listed = look("storage.objects.list", _listed, clients=clients, bucket=bucket, prefix=root)
    if listed is None:
        raise FileNotFoundError(f"the bucket {bucket} is not there")
    for blob in listed:
        path = folder / blob.name.removeprefix(root)
        if not path.resolve().is_relative_to(folder.resolve()) or blob.name.endswith("/"):
            continue  # not of an artifact
        path.parent.mkdir(parents=True, exist_ok=True)
        download = blob.download_to_filename
        look("storage.objects.get", download, filename=str(path), **(limits | {"timeout": UPLOAD_TIMEOUT_S}))


def _listed(clients: Clients, bucket: str, prefix: str) -> list[object]:
    return list(clients.storage.list_blobs(bucket, prefix=prefix, **clients.storage_limits))


def _mend(project: str, place: str) -> str:
    """What is shipped is in the repository; export writes to build/artifacts."""
    name = Path(place).name
    shipped = name == Path(SHIPPED).name
    if place.startswith(BUCKET):
        source = SHIPPED if shipped else f"build/artifacts/{name}"
        return gcloud(project, "storage", "rsync", "--recursive", source, place)
    if shipped:
        return shlex.join(["git", "restore", place])
    return shlex.join(["python", "-m", "model", "export", "--run", f"build/train/{name}"])
