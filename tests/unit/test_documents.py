"""Documents cannot lie: what the README says is compared with the code."""

from __future__ import annotations

import io
import json
import re
import runpy
import sys
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from functions.errors import HTTP_STATUS
from functions.settings import rows
from model.images.decode import MAX_TEXTS
from model.images.limits import SEVERAL_SCANS, Limits
from model.images.tiff import MAX_COEFFICIENT_BYTES, MAX_FRACTIONS, MAX_PARTS

LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


@pytest.fixture(scope="module")
def makefile(root: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+):.*?## (.*)$", (root / "Makefile").read_text(), re.M))


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table whose header row starts with `heading`."""
    lines = iter(text[text.index(f"\n| {heading} |") :].lstrip().splitlines()[2:])
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    return found


def test_the_settings_table_is_the_settings(readme: str) -> None:
    said = [
        (variable.strip("` "), default, allowed.strip()) for variable, default, allowed in table(readme, "variable")
    ]
    assert said == [(variable, default or "(none)", allowed) for variable, default, allowed in rows()]


def test_the_error_table_is_the_errors(readme: str) -> None:
    assert {code: int(status) for code, _, status in table(readme, "code")} == HTTP_STATUS


def test_the_target_table_is_the_makefile(readme: str, makefile: dict[str, str]) -> None:
    assert {name.removeprefix("make "): what for name, what in table(readme, "target")} == makefile


def test_every_make_target_that_is_named_exists(root: Path, makefile: dict[str, str]) -> None:
    for page in [*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "infra").rglob("*.md")]:
        text = page.read_text()
        fenced = "".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S))
        named = re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.M) + re.findall(
            r"^(?:\$ )?make ([a-z-]+)", fenced, re.M
        )
        assert set(named) <= makefile.keys(), page.name


def test_every_link_leads_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "infra").rglob("*.md")]
    for page in pages:
        for target in LINK.findall(page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_fault_names_a_test_that_exists(root: Path) -> None:
    lines = (root / "docs" / "faults.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and line != "| fault | what happens | test |"]
    assert len(rows) > 50
    for row in rows:
        _, _, proof = row.strip("| ").split(" | ")
        named = re.findall(r"tests/\w+/\w+\.py", proof)
        assert named or proof == "by hand" or proof.startswith("`make fault"), row
        for path in named:
            assert "\ndef test_" in (root / path).read_text(), row


def test_the_response_in_the_readme_fits_its_schema(readme: str, root: Path) -> None:
    body = json.loads(re.findall(r"```json\n(.*?)```", readme, re.S)[0])
    body["model"]["digest"] = "sha256:" + "0" * 64  # shortened on the page
    schema = json.loads((root / "infra" / "schemas" / "response.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(body)


def test_the_readme_quotes_the_models_card(readme: str, root: Path) -> None:
    card = (root / "model" / "artifacts" / "fashion-mnist" / "MODEL_CARD.md").read_text()
    measured = re.findall(r"\*\*([\d.]+)%\*\* right", card)
    assert re.findall(r"right on ([\d.]+) % of the test images", readme) == measured


def test_every_client_command_in_the_readme_parses(readme: str, root: Path) -> None:
    lines = re.findall(r"-m client (\w+)(.*?)(?:#.*)?$", readme, re.M)
    assert {command for command, _ in lines} >= {"publish", "upload", "predict", "watch", "plan"}
    for command, rest in lines:
        help_text = run("client", command, "--help")
        for flag in re.findall(r"--[a-z-]+", rest):
            assert flag in help_text, (command, flag)


def test_every_model_command_in_the_readme_parses(readme: str, root: Path) -> None:
    lines = re.findall(r"-m model (\w+)(.*?)(?:#.*)?$", readme, re.M)
    assert {command for command, _ in lines} >= {"catalog", "train", "export", "import"}
    for command, rest in lines:
        help_text = run("model", command, "--help")
        for flag in re.findall(r"--[a-z-]+", rest):
            assert flag in help_text, (command, flag)


@pytest.mark.parametrize(
    ("module", "commands"),
    [
        ("client", ["publish", "upload", "predict", "watch", "plan", "doctor"]),
        ("model", ["train", "export", "evaluate", "catalog", "import"]),
        ("infra.local", ["up"]),
        ("infra.deploy", ["deploy", "rollback", "destroy", "smoke"]),
    ],
)
def test_every_command_has_help_with_an_example(root: Path, module: str, commands: list[str]) -> None:
    for command in commands:
        assert f"python -m {module} {command}" in run(module, command, "--help")


@cache
def run(module: str, *arguments: str) -> str:
    """What `python -m module arguments` prints, in this process."""
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with redirect_stdout(printed), suppress(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *arguments])
        patch.delitem(sys.modules, f"{module}.__main__", raising=False)
        runpy.run_module(module, run_name="__main__")
    printed.flush()
    printed.seek(0)
    return printed.read()


def test_the_demo_output_in_the_readme_is_a_run(readme: str) -> None:
    shown = readme.split("<!-- demo output: begin -->")[1].split("<!-- demo output: end -->")[0]
    for entry_point in ("topic", "bucket", "HTTP"):
        assert re.search(rf"^{entry_point}: 10 of 10 answered, \d+ of 10 right, in [\d.]+ s$", shown, re.M)


def test_the_plan_in_the_readme_is_a_run(readme: str, root: Path) -> None:
    (command, shown) = re.findall(r"^\$ python -m (client plan .+)\n((?:.+\n)+?)```", readme, re.M)[0]
    printed = iter(run(*command.split()).splitlines())
    for line in shown.splitlines():
        assert line == "…" or line in printed, line  # in this order


def test_the_clients_variables_are_those_it_reads(readme: str, root: Path) -> None:
    said = {variable for variable, _, _ in table(readme, "client's variable")}
    read = set()
    for path in (root / "client").rglob("*.py"):
        read |= set(re.findall(r"environ\.get\(\"([A-Z_]+)\"", path.read_text()))
    assert said == read


def test_the_roots_requirements_are_the_union(root: Path) -> None:
    union = (root / "requirements.txt").read_text()
    for room in ("functions", "client", "model", "infra/local"):
        assert f"-r {room}/requirements.txt" in union
    pins: dict[str, str] = {}
    for path in root.rglob("requirements.txt"):
        if ".venv" in path.parts or "build" in path.parts:
            continue
        for line in path.read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                name, mark, version = line.partition("==")
                assert mark and version, f"{path}: {line} is not pinned"
                assert pins.setdefault(name.lower(), version) == version, f"{name} is pinned twice"
    assert {
        "google-cloud-pubsub",
        "google-cloud-storage",
        "functions-framework",
        "tensorflow",
        "numpy",
        "pillow",
    } <= set(pins)


def test_the_limits_on_the_page_are_the_limits(root: Path) -> None:
    said = {limit: value for limit, value, _ in table((root / "docs" / "images.md").read_text(), "limit")}
    limits = Limits()
    assert said["bytes"].startswith(f"{limits.max_bytes:,}")
    assert said["pixels"].startswith(f"{limits.max_pixels:,}")
    assert said["pixels of a JPEG"].startswith(f"{limits.max_pixels_of['JPEG']:,}")
    assert said["pixels of a JPEG in several scans"].startswith(f"{limits.max_pixels_of[SEVERAL_SCANS]:,}")
    assert said["bytes of coefficients of such a JPEG"].startswith(f"{limits.max_coefficient_bytes:,}")
    assert f"{MAX_COEFFICIENT_BYTES:,} in a TIFF" in said["bytes of coefficients of such a JPEG"]
    assert said["pixels of a lossless JPEG"].startswith(f"{limits.max_pixels:,}")
    assert said["bytes of a compressed TIFF's strips or tiles"].startswith(f"{limits.max_bytes:,} ")
    assert said["compressed texts in a PNG"].startswith(f"{MAX_TEXTS}:")
    assert said["scans of a JPEG"] == f"{limits.max_scans}"
    assert said["pixels of a WebP or an AVIF"].startswith(f"{limits.max_pixels_of['WEBP']:,}")
    assert limits.max_pixels_of["WEBP"] == limits.max_pixels_of["AVIF"]
    assert said["pixels of an edge"] == f"{limits.max_edge:,}"
    assert said["scans times pixels of a JPEG"].startswith(f"{limits.max_scanned_pixels:,}")
    assert said["strips or tiles of a TIFF"].startswith(f"{MAX_PARTS:,};")
    assert said["strips or tiles of a TIFF"].endswith(f" {MAX_FRACTIONS:,} fractions")
    assert f"{limits.max_pixels:,} each, {2 * limits.max_pixels:,} all" in said["pixels of a TIFF's tiles"]
    assert said["bytes of EXIF"].startswith(f"{limits.max_exif_bytes:,};")
    assert said["parts that are read one by one"].startswith(f"{limits.max_reads:,}")
    assert said["seconds of decoding"].startswith(f"{limits.max_seconds:g},")
