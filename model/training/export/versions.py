"""The version of an artifact that replaces an earlier one: a version names one content."""

from __future__ import annotations

from pathlib import Path

from model.artifact.load import Artifact
from model.artifact.manifest import MANIFEST, Manifest, parse_manifest, read_text_file
from model.errors import ArtifactError


def version_after(artifact: Artifact, earlier: Manifest | None) -> str:
    """The artifact's version, or the next one after that of the `earlier` artifact in its folder.

    The next one is taken when the earlier artifact has the same name, the same first two numbers, and an equal or
    higher third number. An artifact with the earlier one's content takes its version instead.
    """
    own, old = _numbers(artifact.version), _numbers(earlier.version) if earlier else ()
    if earlier is None or earlier.name != artifact.name or not own or own[:2] != old[:2] or own > old:
        return artifact.version
    if earlier.digest == artifact.digest:
        return earlier.version
    return f"{old[0]}.{old[1]}.{old[2] + 1}"


def earlier_artifact(folder: Path) -> Manifest | None:
    """The manifest of the artifact in a folder, None when there is none that can be read."""
    try:
        return parse_manifest(read_text_file(folder, MANIFEST))
    except ArtifactError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(map(int, parts)) if len(parts) == 3 and all(part.isdecimal() for part in parts) else ()
