"""The client's package: one version, and the dependencies of the requirements files."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from client.version import version


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return table


def pins(root: Path, *folders: str) -> list[str]:
    """The pinned requirements of these folders, each once."""
    lines = [line for folder in folders for line in (root / folder / "requirements.txt").read_text().splitlines()]
    return sorted({line for line in lines if line and not line.startswith("#")})


def test_the_dependencies_are_those_of_the_requirements_files(project: dict[str, Any], root: Path) -> None:
    assert sorted(project["dependencies"]) == pins(root, "client", "functions", "infra/local")
    assert sorted(project["optional-dependencies"]["training"]) == pins(root, "model")
    for name in ("kafka", "onnx", "pandas", "parquet"):
        assert set(project["optional-dependencies"][name]) <= set(pins(root, "tests")), "the tested version"


def test_the_locked_click_is_the_clients(root: Path) -> None:
    """`make setup` installs the worker's locked file and then the client's into one environment."""
    [locked] = re.findall(r"^click==(\S+)", (root / "functions" / "requirements.lock").read_text(), re.M)
    assert f"click=={locked}" in pins(root, "client")


def test_the_version_is_that_of_the_changelog(
    project: dict[str, Any], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latest, day = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", (root / "CHANGELOG.md").read_text(), re.M)[0]
    assert project["version"] == version() == latest and date.fromisoformat(day)
    assert main(["--version"], {}) == 0
    assert capsys.readouterr().out == f"predictions {latest}\n"
