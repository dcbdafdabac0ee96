"""The manifest: the files of an artifact with their sha256 and size, and the digest that identifies all of them.

load.py and fetch.py read it; model/training/export/artifact_writer.py writes it.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from model.errors import ArtifactError

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1

# Scores of the golden images (see golden.py). They affect no prediction, so the digest leaves the file out; the
# manifest's `golden` has its sha256 and size.
GOLDEN = "golden.json"

# Bytes of each of manifest.json, signature.json, labels.txt and golden.json. A thousand labels take 30,000.
MAX_TEXT_BYTES = 10_000_000

# Bytes of one file of an artifact.
_MAX_SIZE = 1 << 40

# Digits of a whole number, with its sign, that always fits into a float.
_MAX_DIGITS = 300

# Files of one artifact: each is a request to Cloud Storage. A combined model of eight has some 100.
_MAX_FILES = 1_000

# Characters of a path, and of the name and of the version.
_MAX_PATH, _MAX_TEXT = 200, 200

_HEX = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """The expected content of a file: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of manifest.json: `files` are those that affect a prediction, `engines` are ordered by speed.

    `parameters`: the number of trained parameters, None when the export did not know it. `golden`: the expected
    golden.json, None when the artifact has none.
    """

    name: str
    version: str
    digest: str
    files: Mapping[str, File]
    engines: tuple[str, ...]
    parameters: int | None = None
    golden: File | None = None

    @property
    def verified(self) -> Mapping[str, File]:
        """All files that must match the manifest."""
        return {**self.files, **({GOLDEN: self.golden} if self.golden else {})}


def digest_of(files: Mapping[str, File]) -> str:
    """`sha256:` and the hash of the lines `<sha256>  <path>`, one for each file, sorted by path."""
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
    """Raise ArtifactError unless `folder` holds the file as the manifest describes it."""
    size = _size(folder, path)
    if size < expected.size:
        raise ArtifactError(f"{path} in {folder} is truncated: {size} of {expected.size} bytes")
    try:
        if size == expected.size and describe_file(folder / path) == expected:
            return
    except OSError as exc:
        raise ArtifactError(f"{path} in {folder} cannot be read: {exc.strerror}") from exc
    raise ArtifactError(f"{path} in {folder} is altered: its size or sha256 is not the manifest's")


def read_text_file(folder: Path, path: str) -> bytes:
    """A small file of an artifact. Raises ArtifactError when it is missing, too large or cannot be read."""
    if (size := _size(folder, path)) > MAX_TEXT_BYTES:
        raise ArtifactError(f"{path} in {folder} has {size:,} bytes; at most {MAX_TEXT_BYTES:,} are allowed")
    try:
        return (folder / path).read_bytes()
    except OSError as exc:
        raise ArtifactError(f"{path} in {folder} cannot be read: {exc.strerror}") from exc


def _size(folder: Path, path: str) -> int:
    """The size of a regular file. Other kinds, such as pipes, are rejected because reading them may never end."""
    try:
        found = (folder / path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{path} is missing from {folder}") from None
    except OSError as exc:
        raise ArtifactError(f"{path} in {folder} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(found.st_mode):
        raise ArtifactError(f"{path} in {folder} is a folder or a device; it must be a file")
    return found.st_size


def parse_json(data: bytes, name: str) -> Any:
    """The content of a JSON file of an artifact. Raises ArtifactError, whose message calls the file `name`."""
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=lambda pairs: _object(pairs, name),
            parse_int=_whole_number,
        )
    except UnicodeDecodeError:
        raise ArtifactError(f"{name} is not UTF-8: truncated or altered") from None
    except RecursionError:
        raise ArtifactError(f"{name} is nested too deeply to be read") from None
    except ValueError as exc:
        raise ArtifactError(f"{name} is not JSON: truncated or altered") from exc


def _whole_number(text: str) -> float:
    """A whole number, infinite where no float is as large, so that checks of numbers may use floats."""
    number = int(text)
    return number if len(text) <= _MAX_DIGITS else float(text)


def _object(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise ArtifactError(f"{name} names {twice[:80]!r} more than once in one object")
    return made


def parse_manifest(data: bytes) -> Manifest:
    """Parse manifest.json. Recomputes the digest and rejects paths outside the folder. Raises ArtifactError."""
    if len(data) > MAX_TEXT_BYTES:
        raise ArtifactError(f"{MANIFEST} has {len(data):,} bytes; at most {MAX_TEXT_BYTES:,} are allowed")
    body = parse_json(data, MANIFEST)
    if not isinstance(body, dict) or body.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(f"{MANIFEST} must be an object with schema_version {SCHEMA_VERSION}")
    files = _files(body.get("files"))
    digest = digest_of(files)
    if body.get("digest") != digest:
        found = reprlib.repr(body.get("digest"))
        raise ArtifactError(f"{MANIFEST} is altered: its digest is {found}, but its files have the digest {digest}")
    engines, parameters = _engines(body.get("engines")), body.get("parameters")
    if parameters is not None and not _is_size(parameters):
        raise ArtifactError(
            f"{MANIFEST}: parameters is {reprlib.repr(parameters)}; it must be a whole number up to {_MAX_SIZE}"
        )
    golden = _file(GOLDEN, body["golden"]) if "golden" in body else None
    return Manifest(_text(body, "name"), _text(body, "version"), digest, files, engines, parameters, golden)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_SIZE


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        allowed = f"1 to {_MAX_TEXT} printable characters"
        raise ArtifactError(f"{MANIFEST}: {key} is {reprlib.repr(value)}; it must be {allowed}")
    return value


def _files(value: object) -> dict[str, File]:
    if not isinstance(value, dict) or not value:
        raise ArtifactError(f"{MANIFEST}: files must map paths to their sha256 and size")
    if len(value) > _MAX_FILES:
        raise ArtifactError(f"{MANIFEST} lists {len(value):,} files; at most {_MAX_FILES:,} are allowed")
    return {path: _file(path, entry) for path, entry in value.items()}


def _file(path: str, entry: object) -> File:
    parts = PurePosixPath(path).parts
    plain = "/".join(parts) == path and parts and parts[0] != "/" and ".." not in parts
    if not plain or len(path) > _MAX_PATH or not path.isprintable() or "\\" in path or ":" in path:
        raise ArtifactError(
            f"{MANIFEST} names {path[:80]!r}; only relative paths inside the artifact are allowed, of at most "
            f"{_MAX_PATH} printable characters"
        )
    sha256, size = (entry.get("sha256"), entry.get("size")) if isinstance(entry, dict) else (None, None)
    if not isinstance(sha256, str) or not _HEX.fullmatch(sha256) or not isinstance(size, int) or not _is_size(size):
        raise ArtifactError(f"{MANIFEST}: {path} needs a sha256 (64 hex digits) and a size (bytes, up to {_MAX_SIZE})")
    return File(sha256, size)


def _engines(value: object) -> tuple[str, ...]:
    names = (
        [entry.get("name") if isinstance(entry, dict) else None for entry in value] if isinstance(value, list) else []
    )
    engines = tuple(name for name in names if isinstance(name, str))
    if not engines or len(engines) != len(names):
        raise ArtifactError(f"{MANIFEST}: engines must be a list of at least one object with a name")
    return engines
