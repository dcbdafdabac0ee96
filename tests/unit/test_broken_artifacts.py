"""Broken artifact files raise an ArtifactError with one sentence and never block."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.artifact.load import read_artifact
from model.artifact.manifest import MANIFEST, MAX_TEXT_BYTES, parse_manifest
from model.errors import ArtifactError
from tests.unit.test_artifact import SHIPPED, manifest_of, sign

DEEP = b"[" * 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped artifact, to damage."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "artifact"))


def refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as refused:
        read_artifact(folder)
    said = str(refused.value)
    assert str(folder) in said and len(said) < 1000, said
    return said


CONTENTS: dict[str, tuple[bytes, str]] = {
    "deep": (DEEP, "is nested too deeply to be read"),
    "deep objects": (b'{"a":' * 100_000, "is nested too deeply to be read"),
    "not UTF-8": (b'{"a": "\xff"}', "is not UTF-8"),
    "UTF-16": (json.dumps({"a": 1}).encode("utf-16"), "is not UTF-8"),
    "a huge number": (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
    "twice": (b'{"a": 1, "a": 2}', "names 'a' more than once"),
    "empty": (b"", "is not JSON"),
}


@pytest.mark.parametrize("name", [MANIFEST, "signature.json"])
@pytest.mark.parametrize("content", CONTENTS)
def test_unreadable_json_is_refused(folder: Path, name: str, content: str) -> None:
    data, said = CONTENTS[content]
    (folder / name).write_bytes(data)
    if name != MANIFEST:
        sign(folder)
    assert f"{name} {said}" in refusal(folder)


@pytest.mark.parametrize("name", [MANIFEST, "signature.json", "labels.txt"])
def test_files_over_the_size_limit_are_refused(folder: Path, name: str) -> None:
    with (folder / name).open("r+b") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    if name != MANIFEST:
        sign(folder)
    assert f"{name} in {folder} has 10,000,001 bytes; at most 10,000,000 are allowed" in refusal(folder)


def test_a_huge_file_is_not_read(folder: Path) -> None:
    with (folder / "model.tflite").open("r+b") as file:
        file.truncate(1 << 40)  # a file of holes
    assert f"model.tflite in {folder} is altered" in refusal(folder)


def as_folder(path: Path) -> None:
    path.mkdir()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("name", [MANIFEST, "signature.json", "labels.txt", "model.tflite", "golden.json"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (as_folder, "is a folder or a device; it must be a file"),
        (as_pipe, "is a folder or a device; it must be a file"),
        (as_device, "is a folder or a device; it must be a file"),
        (as_loop, "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_paths_that_are_no_regular_files_are_refused(
    folder: Path, name: str, kind: Callable[[Path], None], said: str
) -> None:
    (folder / name).unlink()
    kind(folder / name)
    assert f"{name} in {folder} {said}" in refusal(folder)


@pytest.mark.parametrize("path", ["a\0b", "a\nb", "\ud800", "x" * 201, "a/\u202e", "/" + "a/" * 50])
def test_impossible_paths_are_refused(path: str) -> None:
    body = {"schema_version": 1, "files": {path: {"sha256": "f" * 64, "size": 1}}}
    with pytest.raises(ArtifactError, match=r"only relative paths inside the artifact are allowed"):
        parse_manifest(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "a\0b"}, "name is 'a\\x00b'; it must be 1 to 200 printable characters"),
        ({"name": "a\nb"}, "name is"),
        ({"version": "\ud800"}, "version is"),
        ({"version": "1" * 201}, "version is"),
        ({"parameters": 10**4000}, "parameters is"),
        ({"parameters": True}, "parameters is True"),
        ({"digest": ["x" * 5000] * 50}, "its digest is"),
        ({"engines": [{"name": ["litert"]}]}, "engines must be a list of at least one object with a name"),
        ({"golden": None}, "golden.json needs a sha256"),
        ({"golden": {"sha256": "f" * 64, "size": 10**4000}}, "golden.json needs a sha256"),
    ],
)
def test_a_contradictory_manifest_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest_of(folder) | changes))
    assert said in refusal(folder)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (b"\xff\n", "labels.txt is not UTF-8"),
        (b"a\0b\n", "labels.txt line 1 is 'a\\x00b'; control characters are not allowed"),
        (b"a\n" + b"x" * 501, "labels.txt line 2 has 501 characters; at most 500 are allowed"),
        (b"\n".join(b"%d" % n for n in range(100_001)), "labels.txt holds 100,001 labels; at most 100,000"),
    ],
)
def test_unusable_labels_are_refused(folder: Path, labels: bytes, said: str) -> None:
    (folder / "labels.txt").write_bytes(labels)
    sign(folder)
    assert said in refusal(folder)


def test_a_file_instead_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"^manifest\.json is missing from "):
        read_artifact(folder / "labels.txt")


def test_a_file_without_read_permission_is_refused(folder: Path) -> None:
    (folder / "labels.txt").chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65_534)  # root may read everything
    try:
        said = refusal(folder)
    finally:
        os.seteuid(user)
    assert "cannot be read: Permission denied" in said
