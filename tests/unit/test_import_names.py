"""Import rules that pyproject.toml cannot express: no module shadows a library, no worker code depends on emulators."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def modules(root: Path) -> dict[str, Path]:
    """The modules of functions and client by their dotted names."""
    found: dict[str, Path] = {}
    for package in ("functions", "client"):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_no_module_of_functions_hides_a_library(modules: dict[str, Path], root: Path) -> None:
    """functions-framework puts functions/ on sys.path: a functions/requests.py would be everybody's `requests`."""
    elsewhere = [p for p in sys.path if p not in ("", str(root), str(root / "functions"))]
    for name in modules:
        package, *names = name.split(".")
        if package == "functions" and names:
            assert names[0] not in sys.stdlib_module_names, name
            assert importlib.machinery.PathFinder.find_spec(names[0], elsewhere) is None, name


def test_no_code_of_the_worker_depends_on_emulators(modules: dict[str, Path]) -> None:
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.If | ast.IfExp | ast.While):
                assert "emulator" not in ast.unparse(node.test).lower(), name
            if isinstance(node, ast.Subscript | ast.Call):
                assert "EMULATOR_HOST" not in ast.unparse(node), name
