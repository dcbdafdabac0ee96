"""A version names one content: an artifact that replaces another one of its name gets a version of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.artifact.load import read_artifact
from model.artifact.manifest import Manifest
from model.training.export.versions import earlier_artifact, version_after
from tests.unit.test_artifact import SHIPPED


@pytest.mark.parametrize(
    ("name", "earlier", "same", "version", "expected"),
    [
        ("pets", "0.1.0", False, "0.1.0", "0.1.1"),
        ("pets", "0.1.4", False, "0.1.0", "0.1.5"),
        ("pets", "0.1.4", True, "0.1.0", "0.1.4"),
        ("pets", "0.1.0", True, "0.1.0", "0.1.0"),
        ("pets", "0.1.0", False, "0.1.1", "0.1.1"),
        ("pets", "0.9.0", False, "0.10.0", "0.10.0"),
        ("pets", "0.1.9", False, "0.1.10", "0.1.10"),
        ("pets", "0.2.0", False, "0.1.0", "0.1.0"),
        ("pets", "beta", False, "0.1.0", "0.1.0"),
        ("pets", "0.1.0", False, "beta", "beta"),
        ("birds", "0.1.0", False, "0.1.0", "0.1.0"),
    ],
)
def test_another_content_gets_another_version(name: str, earlier: str, same: bool, version: str, expected: str) -> None:
    artifact = replace(read_artifact(SHIPPED), name="pets", version=version)
    digest = artifact.digest if same else "sha256:" + 64 * "0"
    found = earlier_artifact(SHIPPED)
    assert isinstance(found, Manifest)
    assert version_after(artifact, replace(found, name=name, version=earlier, digest=digest)) == expected


def test_a_folder_without_an_artifact_changes_no_version() -> None:
    artifact = read_artifact(SHIPPED)
    assert earlier_artifact(SHIPPED / "training") is None
    assert version_after(artifact, None) == artifact.version
