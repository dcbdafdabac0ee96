"""Figures and modules in the documents come from commands that are shown there, and that work."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from client.__main__ import main
from model.training.data.labelled import parse_mapping
from model.training.fashion_mnist.photos import RIGHT
from tests.unit.test_documents import pages_of


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


def test_every_module_that_is_run_exists(root: Path) -> None:
    for page in pages_of(root):
        named = re.findall(r"python3? -m\s+([a-z_]\w*(?:\.\w+)*)", page.read_text())
        own = {name for name in named if name.partition(".")[0] in ("client", "functions", "infra", "model", "tests")}
        for name in own:
            assert importlib.util.find_spec(name), f"{page.name}: {name}"


def test_the_plan_in_the_readme_is_what_the_command_prints(readme: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.search(r"^```text\n\$ predictions (plan .*)\n((?:.*\n)*?)```", readme, re.M)
    assert shown
    command, excerpt = shown.groups()
    assert main(command.split(), {}) == 0
    printed = iter(capsys.readouterr().out.splitlines())
    for line in excerpt.splitlines():
        assert line == "…" or line in printed, line


def test_the_response_in_the_readme_has_the_shipped_models_name_and_version(readme: str, root: Path) -> None:
    manifest = json.loads((root / "model" / "artifacts" / "fashion-mnist" / "manifest.json").read_text())
    digest = manifest["digest"][: len("sha256:603a")]
    assert f'"name": "{manifest["name"]}", "version": "{manifest["version"]}", "digest": "{digest}…"' in readme


def test_the_photos_of_the_readme_are_measured_by_the_command_that_is_shown(root: Path) -> None:
    page = (root / "docs" / "models.md").read_text()
    command = re.search(r"model evaluate --data clothing-dataset-small\S* (--map .*?)\n\n", page, re.S)
    assert command
    mapping = parse_mapping(shlex.split(command[1].replace("\\\n", " "))[1:])
    assert {kind: set(labels) for kind, labels in mapping.items() if labels} == RIGHT
