"""A combined model: an artifact whose members are artifacts. composition.json says how their scores become one.

`members/1/`, `members/2/` … hold copies of the members, so that the digest of the artifact covers all of them. Its
labels.txt and signature.json are those of the first member, whose order the labels of its scores have.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.artifact.load import COMPOSITION, Artifact, documents_of, read_artifact
from model.artifact.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    describe_file,
    digest_of,
    parse_json,
    parse_manifest,
    read_text_file,
)
from model.errors import ArtifactError
from model.text import quoted

MEAN, CASCADE = "mean", "cascade"
KINDS = MEAN, CASCADE

MOST = 8
"""Members at most: each adds to the time and the memory of every worker."""

_REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Composition:
    """How the members' scores become one.

    `mean`: the mean of each label's scores. `cascade`: the scores of the first member whose best score is at least
    `threshold`, above 0 and below 1; those of the last one where none is.
    """

    kind: str
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ArtifactError(f"the kind of a combined model is {quoted(self.kind)}; it must be mean or cascade")
        given = self.threshold
        if self.kind == MEAN and given is not None:
            raise ArtifactError(f"threshold is {given!r:.40}; only a cascade has one")
        if self.kind == CASCADE and not (isinstance(given, float) and 0 < given < 1):
            raise ArtifactError(f"threshold is {given!r:.40}; it must be a number above 0 and below 1")


def read_composition(artifact: Artifact) -> Composition:
    """How the members of a combined model are combined. Raises ArtifactError, also for members that do not agree."""
    where = f"{artifact.folder}/{COMPOSITION}"
    body = parse_json(read_text_file(artifact.folder, COMPOSITION), where)
    allowed = {"schema_version", "kind", "threshold", "members"}
    if not isinstance(body, dict) or body.get("schema_version") != SCHEMA_VERSION or not body.keys() <= allowed:
        raise ArtifactError(f"{where} must be an object with schema_version {SCHEMA_VERSION}, kind, members, threshold")
    try:
        check_members(artifact.members, str(body.get("kind")))
        composition = Composition(str(body.get("kind")), body.get("threshold"))
        if body != _body(composition, artifact.members):
            raise ArtifactError("its members are not those in the folder members/; combine them again")
        if artifact.signature.labels != artifact.members[0].signature.labels:
            raise ArtifactError("labels.txt differs from that of the first member; combine them again")
        return composition
    except ArtifactError as exc:
        raise ArtifactError(f"{where}: {exc}") from None


def check_members(members: Sequence[Artifact], kind: str) -> None:
    """Raise ArtifactError unless the scores of these artifacts can be combined."""
    if not 2 <= len(members) <= MOST:
        raise ArtifactError(f"a combined model has 2 to {MOST} members; this one has {len(members)}")
    first = members[0]
    for member in members:
        if member.members:
            raise ArtifactError(f"{_named(member)} is a combined model itself; combine its members instead")
        if set(member.signature.labels) != set(first.signature.labels):
            differing = sorted({*member.signature.labels} ^ {*first.signature.labels})
            raise ArtifactError(
                f"{_named(first)} and {_named(member)} do not have the same labels: only one of them has "
                f"{', '.join(map(quoted, differing[:5]))}{' and others' if len(differing) > 5 else ''}"
            )
        if member.signature.cut != first.signature.cut:
            raise ArtifactError(
                f"{_named(first)} and {_named(member)} must both be multi-label models with one threshold, or neither"
            )
    if kind == CASCADE and first.signature.multi_label:
        raise ArtifactError(f"{_named(first)} is a multi-label model, whose best score says nothing about the others")
    if not common_engines(members):
        raise ArtifactError(f"no engine is in each of {', '.join(map(_named, members))}")


def common_engines(members: Sequence[Artifact]) -> tuple[str, ...]:
    """The engines that all members have, in the order of the last one, which is the slowest of a cascade."""
    return tuple(name for name in members[-1].engines if all(name in member.engines for member in members))


def write_combined(out: Path, name: str, version: str, composition: Composition, folders: Sequence[Path]) -> Artifact:
    """Write a combined model to `out`, which must not exist. `folders`: the artifacts of its members, in order.

    Raises ArtifactError when they cannot be combined.
    """
    if out.exists():
        raise ArtifactError(f"{out} exists; choose another folder")
    members = [read_artifact(folder) for folder in folders]
    check_members(members, composition.kind)
    out.mkdir(parents=True)
    try:
        for number, folder in enumerate(folders, 1):
            _copy(folder, out / f"members/{number}")
        shutil.copyfile(folders[0] / "labels.txt", out / "labels.txt")
        signature = json.loads((folders[0] / "signature.json").read_bytes())
        _write(out / "signature.json", {key: value for key, value in signature.items() if key != _REFERENCE})
        _write(out / COMPOSITION, _body(composition, members))
        files = {path.relative_to(out).as_posix(): describe_file(path) for path in out.rglob("*") if path.is_file()}
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "version": version,
            "digest": digest_of(files),
            "files": {path: {"sha256": file.sha256, "size": file.size} for path, file in sorted(files.items())},
            "engines": [{"name": engine} for engine in common_engines(members)],
        }
        _write(out / MANIFEST, manifest)
        return read_artifact(out)
    except BaseException:
        shutil.rmtree(out)
        raise


def _copy(folder: Path, out: Path) -> None:
    """Copy the verified files of an artifact and its documents, and no others, such as links to elsewhere."""
    listed = parse_manifest(read_text_file(folder, MANIFEST)).verified
    for path in (MANIFEST, *listed, *documents_of(folder)):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, out / path)


def _body(composition: Composition, members: Sequence[Artifact]) -> Mapping[str, Any]:
    listed = [{"name": each.name, "version": each.version, "digest": each.digest} for each in members]
    threshold = {} if composition.threshold is None else {"threshold": composition.threshold}
    return {"schema_version": SCHEMA_VERSION, "kind": composition.kind, **threshold, "members": listed}


def _write(path: Path, body: object) -> None:
    path.write_text(json.dumps(body, indent=2) + "\n")


def _named(artifact: Artifact) -> str:
    return f"{artifact.name} {artifact.version}"
