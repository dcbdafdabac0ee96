"""Where an artifact comes from: a folder, or a bucket (downloaded once into a cache, every file verified)."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from model.manifest import MANIFEST, ArtifactError, check_file, parse_manifest

_SCHEME = "gs://"


def fetch_artifact(uri: str, cache: Path) -> Path:
    """The local folder of the artifact at `uri`: a folder as it is, or `gs://bucket/prefix` downloaded to `cache`.

    A version is downloaded once: its folder in the cache is named by its digest and appears only when it is whole, so
    processes may race. Raises ArtifactError when something is missing or altered; Google's other errors pass through.
    """
    if not uri.startswith(_SCHEME):
        if "://" in uri:
            raise ArtifactError(f"the model is {uri!r}; it must be a folder or look like gs://bucket/prefix")
        folder = Path(uri)
        if not folder.is_dir():
            raise ArtifactError(f"the model folder {folder} does not exist")
        return folder
    bucket, _, prefix = uri.removeprefix(_SCHEME).partition("/")
    prefix = prefix.strip("/")
    if not bucket or not prefix:
        raise ArtifactError(f"the model is {uri!r}; it must look like gs://bucket/prefix")
    from google.cloud import storage

    cache.mkdir(parents=True, exist_ok=True)
    with closing(storage.Client()) as client, tempfile.TemporaryDirectory(prefix="fetching-", dir=cache) as scratch:
        return _fetch(client.bucket(bucket), f"{_SCHEME}{bucket}/", prefix, cache, Path(scratch))


def _fetch(bucket: Any, root: str, prefix: str, cache: Path, scratch: Path) -> Path:
    """Download into `scratch` and move it, whole, to its place in the cache."""
    whole = scratch / "artifact"
    whole.mkdir()
    _download(bucket, root, f"{prefix}/{MANIFEST}", whole / MANIFEST)
    written = (whole / MANIFEST).read_bytes()
    try:
        manifest = parse_manifest(written)
    except ArtifactError as exc:
        raise ArtifactError(f"{root}{prefix}: {exc}") from None
    # The manifest's own hash is in the name too: a renamed or re-measured artifact keeps its digest.
    target = cache / f"{manifest.digest.removeprefix('sha256:')}-{hashlib.sha256(written).hexdigest()[:12]}"
    if target.is_dir():
        if not (target / MANIFEST).is_file() or (target / MANIFEST).read_bytes() != written:
            raise ArtifactError(f"{target} is not what {root}{prefix} holds: somebody changed it; delete it")
        return target
    for path, file in manifest.files.items():
        _download(bucket, root, f"{prefix}/{path}", whole / path)
        try:
            check_file(whole, path, file)
        except ArtifactError as exc:
            raise ArtifactError(f"{root}{prefix}: {exc}") from None
    try:
        os.rename(whole, target)
    except OSError:
        if not target.is_dir():  # otherwise another process was first, with the same bytes
            raise
    return target


def _download(bucket: Any, root: str, name: str, path: Path) -> None:
    from google.api_core.exceptions import NotFound

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        bucket.blob(name).download_to_filename(str(path))
    except NotFound:
        raise ArtifactError(f"{root}{name} is not there: the bucket or the object is missing") from None
