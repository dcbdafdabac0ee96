"""Copies a model from a bucket to this machine: a folder or a file at `gs://bucket/name`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from model.registry.bucket import CALL_TIMEOUT_S, SCHEME
from model.text import quoted, reason, size_text
from model.training.errors import SourceError

# Files of a folder.
_MAX_FILES = 1_000

# Weights in formats that are not imported. Their names tell what a folder is, so they are copied without content.
_UNREAD = ".msgpack", ".pt", ".pth", ".ckpt", ".ot", "pytorch_model.bin", "tf_model.h5"

# Weights that are imported where there is no .onnx file.
_WEIGHTS = ".safetensors"


def is_address(source: str) -> bool:
    """Whether a source is in a bucket."""
    return source.startswith(SCHEME)


@contextmanager
def downloaded(address: str, file: str | None, most: int) -> Iterator[Path]:
    """A copy of the folder or the file at an address, in a temporary folder with its name.

    `file`: the .onnx file that is needed of a folder with several, None for all. `most`: bytes that may be downloaded.
    Raises SourceError when there is nothing, too much, or no permission.
    """
    bucket, _, name = address.removeprefix(SCHEME).partition("/")
    name = name.strip("/")
    if not bucket or not name:
        raise SourceError(f"the source is {quoted(address)}; it must look like gs://bucket/folder")
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    try:
        client = storage.Client(project=None)
    except DefaultCredentialsError:
        raise SourceError(
            f"{address} needs Google's credentials, and there are none: run gcloud auth application-default login"
        ) from None
    with closing(client), tempfile.TemporaryDirectory(prefix="bucket-") as place:
        target = Path(place, PurePosixPath(name).name)
        with _errors(address, bucket):
            _copy(_objects(client, bucket, name, address), name, target, file, most, address)
        try:
            yield target
        except SourceError as exc:  # which may name the temporary folder
            raise SourceError(str(exc).replace(str(target), address)) from exc


def _objects(client: Any, bucket: str, name: str, address: str) -> list[Any]:
    """The object of this name, or all below it."""
    alone = client.bucket(bucket).get_blob(name, timeout=CALL_TIMEOUT_S)
    if alone:
        return [alone]
    listed = client.list_blobs(bucket, prefix=f"{name}/", max_results=_MAX_FILES + 1, timeout=CALL_TIMEOUT_S)
    found = [blob for blob in listed if not blob.name.endswith("/")]
    if not found:
        raise SourceError(f"{address} does not exist; it must be a file or a folder in the bucket")
    if len(found) > _MAX_FILES:
        raise SourceError(f"{address} holds more than {_MAX_FILES:,} files, the limit; name the folder of the model")
    return found


def _copy(objects: Sequence[Any], name: str, target: Path, file: str | None, most: int, address: str) -> None:
    names = [blob.name.removeprefix(f"{name}/") for blob in objects]
    has_onnx = any(inside.endswith(".onnx") for inside in names)
    wanted = [blob for blob, inside in zip(objects, names, strict=True) if _is_needed(inside, file, has_onnx=has_onnx)]
    total = sum(blob.size for blob in wanted)
    if total > most:
        raise SourceError(
            f"{address} holds {size_text(total)}; at most {size_text(most)} are downloaded: choose one with --file, or "
            "allow more with --max-size"
        )
    for blob in objects:
        inside = PurePosixPath(blob.name.removeprefix(name).strip("/"))
        if ".." in inside.parts or "\\" in str(inside):
            raise SourceError(f"{address} holds {quoted(blob.name)}, a name that leads out of the folder")
        path = target / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        if blob in wanted:
            blob.download_to_filename(path, timeout=CALL_TIMEOUT_S)
        else:
            path.touch()


def _is_needed(inside: str, file: str | None, *, has_onnx: bool) -> bool:
    """Whether a file of the folder is read: not another .onnx file than the chosen one, nor weights next to one."""
    if inside.endswith(_UNREAD) or (has_onnx and inside.endswith(_WEIGHTS)):
        return False
    return file is None or ".onnx" not in inside or inside.startswith(file)


@contextmanager
def _errors(address: str, bucket: str) -> Iterator[None]:
    """Turn refusals of Cloud Storage into a SourceError."""
    from google.api_core.exceptions import ClientError, Forbidden, NotFound, Unauthorized

    try:
        yield
    except NotFound as exc:
        raise SourceError(f"{address} cannot be read: the bucket {bucket} or an object in it does not exist") from exc
    except (Forbidden, Unauthorized) as exc:
        raise SourceError(
            f"{address} may not be read by this account: it needs roles/storage.objectViewer on the bucket"
        ) from exc
    except ClientError as exc:
        raise SourceError(f"{address} cannot be read: {reason(exc)}") from exc
