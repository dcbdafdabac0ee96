"""Versions of the shipped model for a registry: they score alike and have different labels, so that answers tell them
apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from model.artifact.manifest import MANIFEST, describe_file, digest_of
from model.registry.aliases import STABLE, Alias, Target
from model.registry.registry import Registry, now

NAME = "fashion-mnist"
SHIPPED = Path(__file__).resolve().parents[1] / "model" / "artifacts" / NAME


def variant(folder: Path, version: str, name: str = NAME, source: Path = SHIPPED) -> Path:
    """A copy of the artifact `source` in `folder`, with labels that end with its version."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("training"))
    labels = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels.txt").write_text("".join(f"{label} {version}\n" for label in labels))
    return seal(folder, version, name)


def altered(folder: Path, version: str) -> Path:
    """An artifact in `folder` that scores its golden images differently from what it records."""
    variant(folder, version)
    golden = json.loads((folder / "golden.json").read_text())
    for image in golden["images"]:
        image["scores"] = {engine: scores[::-1] for engine, scores in image["scores"].items()}
    (folder / "golden.json").write_text(json.dumps(golden))
    return seal(folder, version)


def seal(folder: Path, version: str, name: str = NAME) -> Path:
    """Write the manifest of a folder whose files have changed."""
    body = json.loads((folder / MANIFEST).read_text())
    files = {path: describe_file(folder / path) for path in body["files"]}
    body |= {
        "name": name,
        "version": version,
        "digest": digest_of(files),
        "files": {path: {"sha256": file.sha256, "size": file.size} for path, file in files.items()},
    }
    if "golden" in body:
        golden = describe_file(folder / "golden.json")
        body["golden"] = {"sha256": golden.sha256, "size": golden.size}
    (folder / MANIFEST).write_text(json.dumps(body))
    return folder


def push(registry: Registry, scratch: Path, *versions: str, name: str = NAME, source: Path = SHIPPED) -> list[Target]:
    """Push variants of these versions; `scratch` is a folder for their files."""
    made = (variant(scratch / f"{name}-{version}", version, name, source) for version in versions)
    return [registry.push(folder).target for folder in made]


def set_alias(registry: Registry, target: Target, alias: str = STABLE, *, name: str = NAME, **options: object) -> None:
    """Let an alias name a version."""

    def edit(aliases: dict[str, Alias]) -> dict[str, Alias]:
        before = aliases.get(alias)
        moved = before.moved(target, now()) if before else Alias(target, changed_at=now())
        return aliases | {alias: Alias(moved.target, previous=moved.previous, changed_at=moved.changed_at, **options)}  # type: ignore[arg-type]

    registry.edit_aliases(name, (alias,), edit)
