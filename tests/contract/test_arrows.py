"""The house's floors: who may import whom, and what may be imported at all."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

ROOMS = ("model", "functions", "client", "infra")
CLIENT_MAY = {
    "functions.messages.contract",
    "functions.errors",
    "functions.settings",
    "functions.gcp.subscriber",
    "functions.messages.trace_context",
    "model.labels",
    "model.links",
    "model.text",
    "model.errors",
    "model.drift",
    "model.metrics",
    "model.artifact.load",
}
TENSORFLOW_ROOMS = ("model.engines.savedmodel", "model.training")


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at its top or later."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import absolutely"
            assert node.module
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


@pytest.fixture(scope="module")
def house(root: Path) -> dict[str, Path]:
    return {module_name(p, root): p for room in ROOMS for p in sorted((root / room).rglob("*.py"))}


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] in ROOMS}


def test_model_imports_nothing_of_ours_but_itself(house: dict[str, Path]) -> None:
    for name, path in house.items():
        if name.split(".")[0] == "model":
            assert {n.split(".")[0] for n in ours(imports(path))} <= {"model"}, name


def test_serving_never_needs_training(house: dict[str, Path]) -> None:
    for name, path in house.items():
        if not name.startswith(("model.training", "infra")) and name != "model.__main__":
            assert not any(n.startswith("model.training") for n in imports(path)), name


def test_functions_never_import_upwards(house: dict[str, Path]) -> None:
    for name, path in house.items():
        if name.split(".")[0] == "functions":
            assert {n.split(".")[0] for n in ours(imports(path))} <= {"functions", "model"}, name


def test_the_client_knows_the_contract_alone(house: dict[str, Path]) -> None:
    for name, path in house.items():
        if name.split(".")[0] == "client":
            foreign = {n for n in ours(imports(path)) if n.split(".")[0] != "client"}
            modules = {n for n in foreign if n in house and n not in ROOMS}
            assert modules <= CLIENT_MAY, (name, modules - CLIENT_MAY)


def test_tensorflow_stays_in_its_rooms(house: dict[str, Path]) -> None:
    for name, path in house.items():
        if not name.startswith(TENSORFLOW_ROOMS):
            assert not {n.split(".")[0] for n in imports(path)} & {"tensorflow", "keras"}, name


def test_no_circles(house: dict[str, Path]) -> None:
    arrows = {name: {n for n in imports(path) if n in house and n != name} for name, path in house.items()}
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in arrows[name]:
                walk(target, (*trail, name))
            done.add(name)

    for name in arrows:
        walk(name, ())


def test_no_module_of_functions_hides_a_library(house: dict[str, Path], root: Path) -> None:
    """functions-framework puts functions/ on sys.path: a functions/requests.py would be everybody's `requests`."""
    elsewhere = [p for p in sys.path if p not in ("", str(root), str(root / "functions"))]
    for name in house:
        room, *names = name.split(".")
        if room == "functions" and names:
            module = names[0]
            assert module not in sys.stdlib_module_names, name
            assert importlib.machinery.PathFinder.find_spec(module, elsewhere) is None, name


def test_no_emulator_is_known_of(house: dict[str, Path]) -> None:
    for name, path in house.items():
        if name.split(".")[0] in {"functions", "client"}:
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.If | ast.IfExp | ast.While):
                    assert "emulator" not in ast.unparse(node.test).lower(), name
                if isinstance(node, ast.Subscript | ast.Call):
                    assert "EMULATOR_HOST" not in ast.unparse(node), name


def test_every_module_says_what_room_it_is(house: dict[str, Path]) -> None:
    for name, path in house.items():
        assert ast.get_docstring(ast.parse(path.read_text())), name
