"""The manifest: which files make an artifact, what they must hash to, and the digest that names them all.

Shared by whoever reads an artifact (artifact.py), fetches one (store.py) or writes one (training/writing.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1

_HEX = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


class ArtifactError(Exception):
    """An artifact cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class File:
    """What a file must be: its sha256 in hex, its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.json says: `files` are those that decide a prediction, `engines` stand fastest first.

    `parameters`: how many numbers were trained; None where whoever exported did not know.
    """

    name: str
    version: str
    digest: str
    files: Mapping[str, File]
    engines: tuple[str, ...]
    parameters: int | None = None


def digest_of(files: Mapping[str, File]) -> str:
    """`sha256:` and the hash of one line `<sha256>  <path>` for each file, in the order of their paths."""
    lines = "".join(f"{files[path].sha256}  {path}\n" for path in sorted(files))
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def describe_file(path: Path) -> File:
    """The size and sha256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return File(digest.hexdigest(), size)


def check_file(folder: Path, path: str, expected: File) -> None:
    """Raise ArtifactError unless `folder` holds the file that the manifest describes."""
    try:
        found = describe_file(folder / path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ArtifactError(f"{path} is missing from {folder}") from None
    if found.size < expected.size:
        raise ArtifactError(f"{path} in {folder} is truncated: {found.size} of {expected.size} bytes")
    if found != expected:
        raise ArtifactError(f"{path} in {folder} is altered: its size or sha256 is not the manifest's")


def parse_manifest(data: bytes) -> Manifest:
    """Read manifest.json, or raise ArtifactError; its digest has been recomputed and its paths stay in the folder."""
    try:
        body = json.loads(data)
    except ValueError as exc:
        raise ArtifactError(f"{MANIFEST} is not JSON: truncated or altered") from exc
    if not isinstance(body, dict) or body.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(f"{MANIFEST} must be an object with schema_version {SCHEMA_VERSION}")
    files = _files(body.get("files"))
    digest = digest_of(files)
    if body.get("digest") != digest:
        raise ArtifactError(f"{MANIFEST} is altered: its digest is {body.get('digest')!r}, its files make {digest}")
    engines, parameters = _engines(body.get("engines")), body.get("parameters")
    if parameters is not None and (not isinstance(parameters, int) or isinstance(parameters, bool) or parameters < 0):
        raise ArtifactError(f"{MANIFEST}: parameters is {parameters!r}; it must be a whole number or left out")
    return Manifest(_text(body, "name"), _text(body, "version"), digest, files, engines, parameters)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise ArtifactError(f"{MANIFEST}: {key} is {value!r}; it must be a text")
    return value


def _files(value: object) -> dict[str, File]:
    if not isinstance(value, dict) or not value:
        raise ArtifactError(f"{MANIFEST}: files must map paths to their sha256 and size")
    return {path: _file(path, entry) for path, entry in value.items()}


def _file(path: str, entry: object) -> File:
    parts = PurePosixPath(path).parts
    if "/".join(parts) != path or not parts or parts[0] == "/" or ".." in parts or "\\" in path or ":" in path:
        raise ArtifactError(f"{MANIFEST} names {path!r}; only plain paths inside the artifact are allowed")
    sha256, size = (entry.get("sha256"), entry.get("size")) if isinstance(entry, dict) else (None, None)
    if not isinstance(sha256, str) or not _HEX.fullmatch(sha256) or not isinstance(size, int) or size < 0:
        raise ArtifactError(f"{MANIFEST}: {path} needs a sha256 (64 hex digits) and a size (bytes)")
    return File(sha256, size)


def _engines(value: object) -> tuple[str, ...]:
    names = (
        [entry.get("name") if isinstance(entry, dict) else None for entry in value] if isinstance(value, list) else []
    )
    engines = tuple(name for name in names if isinstance(name, str))
    if not engines or len(engines) != len(names):
        raise ArtifactError(f"{MANIFEST}: engines must be a list of objects with a name, at least one")
    return engines
