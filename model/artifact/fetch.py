"""Finds an artifact: a local folder, or a bucket, from which it is downloaded into a cache and verified."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from model.artifact.manifest import MANIFEST, MAX_TEXT_BYTES, Manifest, check_file, parse_manifest
from model.errors import ArtifactError, FilesUnavailable
from model.text import size_text

_SCHEME = "gs://"


def fetch_artifact(uri: str, cache: Path) -> Path:
    """The local folder of the artifact at `uri`: a local folder itself, or `gs://bucket/prefix` downloaded to `cache`.

    A version is downloaded once. Its folder in the cache is named by its digest and appears only when it is complete,
    so several processes may download it at once. Raises ArtifactError when a file is missing, altered or not readable,
    or when the cache cannot be written. Other errors of Google's client pass through, because they are temporary.
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

    with writing_cache(cache):
        cache.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="fetching-", dir=cache)
    with scratch as place, closing(storage.Client(project=None)) as client:
        return _fetch(client.bucket(bucket), f"{_SCHEME}{bucket}/", prefix, cache, Path(place))


def _fetch(bucket: Any, root: str, prefix: str, cache: Path, scratch: Path) -> Path:
    """Download into `scratch`, then move the complete folder to its place in the cache."""
    whole = scratch / "artifact"
    _download(bucket, root, f"{prefix}/{MANIFEST}", whole / MANIFEST, MAX_TEXT_BYTES, cache)
    written = (whole / MANIFEST).read_bytes()
    try:
        manifest = parse_manifest(written)
    except ArtifactError as exc:
        raise ArtifactError(f"{root}{prefix}: {exc}") from None
        # The folder's name holds the manifest's hash too: renaming or measuring an artifact again keeps its digest.
    target = cache / f"{manifest.digest.removeprefix('sha256:')}-{hashlib.sha256(written).hexdigest()[:12]}"
    if target.is_dir():
        if not (target / MANIFEST).is_file() or (target / MANIFEST).read_bytes() != written:
            raise ArtifactError(f"{target} is not what {root}{prefix} holds: the cache has been changed; delete it")
        return target
    _check_space(manifest, f"{root}{prefix}", cache)
    for path, file in manifest.verified.items():
        _download(bucket, root, f"{prefix}/{path}", whole / path, file.size, cache)
        try:
            check_file(whole, path, file)
        except ArtifactError as exc:
            raise ArtifactError(f"{root}{prefix}: {exc}") from None
    with writing_cache(cache):
        try:
            os.rename(whole, target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first, with the same files
                raise
    return target


def _check_space(manifest: Manifest, address: str, cache: Path) -> None:
    """Raise FilesUnavailable before a download that cannot fit, so that it leaves the disk to others."""
    needed, free = sum(file.size for file in manifest.verified.values()), shutil.disk_usage(cache).free
    if needed > free:
        raise FilesUnavailable(
            f"ARTIFACT_CACHE is {str(cache)!r}, on a disk with {size_text(free)} free; {address} has "
            f"{size_text(needed)}: name a folder on a disk with enough space"
        )


def _download(bucket: Any, root: str, name: str, path: Path, size: int, cache: Path) -> None:
    """Download an object of at most `size` bytes, so that an altered one cannot fill the disk."""
    from google.api_core.exceptions import Forbidden, NotFound, Unauthorized

    with writing_cache(cache):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    with file:
        try:
            bucket.blob(name).download_to_file(_Limited(file, f"{root}{name}", size, cache))
        except NotFound:
            raise ArtifactError(f"{root}{name} is missing: the bucket or the object does not exist") from None
        except (Forbidden, Unauthorized):
            raise FilesUnavailable(
                f"{root}{name} is not readable: the worker's account needs roles/storage.objectViewer on the bucket"
            ) from None


class _Limited:
    """A file for a download that accepts at most `size` bytes."""

    def __init__(self, file: BinaryIO, name: str, size: int, cache: Path) -> None:
        self._file, self._name, self._size, self._cache = file, name, size, cache

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._size:
            raise ArtifactError(f"{self._name} is altered: it has more than the {self._size:,} bytes that are allowed")
        with writing_cache(self._cache):
            written = self._file.write(data)
            self._file.flush()
            return written

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)


@contextmanager
def writing_cache(cache: Path) -> Iterator[None]:
    """Turn an OSError while writing the cache into FilesUnavailable, which names the setting."""
    try:
        yield
    except OSError as exc:
        raise FilesUnavailable(
            f"ARTIFACT_CACHE is {str(cache)!r}; it cannot be written ({exc.strerror}): name a folder that the worker "
            "may write, on a disk with enough space for the model"
        ) from exc
