"""The README and the pages in docs/ agree with the code: tables, commands, links and examples."""

from __future__ import annotations

import io
import json
import re
import runpy
import sys
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from docs import modules
from functions.errors import HTTP_STATUS
from functions.retrain.settings import rows as training_rows
from functions.settings import rows
from model.images import avif, webp
from model.images.limits import SEVERAL_SCANS, Limits
from model.images.png import MAX_TEXTS
from model.images.tiff import MAX_COEFFICIENT_BYTES, MAX_FRACTIONS, MAX_PARTS
from tests.conftest import requirement_files

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?")
HEADING = re.compile(r"^#+ (.+)$", re.M)
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.M | re.S)
README_LINES = 200


def pages_of(root: Path) -> list[Path]:
    """Every document that people read, without the model card, which the export writes."""
    return [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "infra").rglob("*.md")]


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


@pytest.fixture(scope="module")
def page(root: Path) -> Callable[[str], str]:
    """The text of a page in docs/."""
    return lambda name: (root / "docs" / f"{name}.md").read_text()


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


def test_the_readme_is_short(readme: str) -> None:
    assert len(readme.splitlines()) <= README_LINES


def test_the_badges_are_true(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    facts = {
        "version": project["version"],
        "python": project["requires-python"].removeprefix(">=") + "+",
        "licence": project["license"],
    }
    for name, fact in facts.items():
        assert f">{fact}</text>" in (root / "docs" / "badges" / f"{name}.svg").read_text()


def test_the_table_of_the_training_worker_is_its_settings(page: Callable[[str], str]) -> None:
    shown = [
        (variable.strip("` "), default, allowed.strip())
        for variable, default, allowed in table(page("registry"), "training variable")
    ]
    assert shown == [(variable, default or "(none)", allowed) for variable, default, allowed in training_rows()]


def test_the_settings_table_is_the_settings(page: Callable[[str], str]) -> None:
    said = [
        (variable.strip("` "), default, allowed.strip())
        for variable, default, allowed in table(page("settings"), "variable")
    ]
    assert said == [(variable, default or "(none)", allowed) for variable, default, allowed in rows()]


def test_the_error_table_is_the_errors(page: Callable[[str], str]) -> None:
    assert {code: int(status) for code, _, status in table(page("errors"), "code")} == HTTP_STATUS


def test_the_target_table_is_the_makefile(page: Callable[[str], str], makefile: dict[str, str]) -> None:
    assert {name.removeprefix("make "): what for name, what in table(page("cli"), "target")} == makefile


def test_the_attribute_table_is_what_the_decoder_reads(page: Callable[[str], str], root: Path) -> None:
    listed = {name for name, _ in table(page("messages"), "attribute")}
    source = "".join(file.read_text() for file in (root / "functions" / "messages").glob("*.py"))
    assert [name for name in listed if f'"{name}"' not in source] == []
    assert listed >= {"request_id", "top_k", "reply_to", "expires_at", "model", "filename", "explain", "traceparent"}


def test_every_make_target_that_is_named_exists(root: Path, makefile: dict[str, str]) -> None:
    for page in pages_of(root):
        text = page.read_text()
        fenced = "".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S))
        named = re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.M) + re.findall(
            r"^(?:\$ )?make ([a-z-]+)", fenced, re.M
        )
        assert set(named) <= makefile.keys(), page.name


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as the repository's web view and MkDocs both make them."""
    headings = HEADING.findall(FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere(root: Path) -> None:
    for page in pages_of(root):
        for target, anchor in LINK.findall(page.read_text()):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors_of(file.read_text()), f"{page.name}: {target}#{anchor}"


def test_the_index_names_every_page(root: Path) -> None:
    docs = root / "docs"
    text = (docs / "index.md").read_text()
    linked = {(docs / target).resolve() for target, _ in LINK.findall(text)}
    api = {(docs / "api" / target).resolve() for target, _ in LINK.findall((docs / "api" / "index.md").read_text())}
    assert {page for page in pages_of(root) if page != docs / "index.md"} <= linked | api


def test_the_site_lists_every_page(root: Path) -> None:
    navigation = (root / "docs" / "mkdocs.yml").read_text().split("\nnav:")[1]
    assert [
        str(page.relative_to(root)) for page in pages_of(root) if f": {page.relative_to(root)}\n" not in navigation
    ] == []


def test_every_api_page_names_modules_that_exist(root: Path) -> None:
    for page in (root / "docs" / "api").glob("*.md"):
        for module in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.M):
            path = root / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), f"{page.name}: {module}"


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


@pytest.mark.parametrize("name", ["README.md", "docs/messages.md"])
def test_the_response_on_the_page_fits_its_schema(name: str, root: Path) -> None:
    body = json.loads(re.findall(r"```json\n(.*?)```", (root / name).read_text(), re.S)[0])
    body["model"]["digest"] = "sha256:" + "0" * 64  # shortened on the page
    schema = json.loads((root / "infra" / "schemas" / "response.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(body)


def test_the_readme_quotes_the_models_card(readme: str, root: Path) -> None:
    card = (root / "model" / "artifacts" / "fashion-mnist" / "MODEL_CARD.md").read_text()
    measured = re.findall(r"\*\*([\d.]+)%\*\* right", card)
    assert re.findall(r"right on ([\d.]+) % of the test images", readme) == measured


def named_commands(root: Path) -> dict[tuple[str, ...], set[str]]:
    """The `predictions` commands in the code blocks of all pages, with the options that each is shown with."""
    named: dict[tuple[str, ...], set[str]] = {}
    for page in pages_of(root):
        text = page.read_text()
        code = "\n".join([*FENCED.findall(text), *re.findall(r"^ {4}(.+)$", text, re.M)])
        for words in re.findall(r"^(?:\$ )?predictions ([a-z].*?)(?:  #.*)?$", code, re.M):
            first, *rest = words.split()
            depth = 2 if rest[:1] == ["alias"] else 1 if first in ("model", "dead-letters", "request", "results") else 0
            command = (first, *rest[:depth])
            named.setdefault(command, set()).update(re.findall(r"--[a-z-]+", words))
    return named


def test_every_command_on_a_page_parses(root: Path) -> None:
    named = named_commands(root)
    assert {command[0] for command in named} >= {
        "publish",
        "upload",
        "predict",
        "watch",
        "plan",
        "doctor",
        "model",
        "dead-letters",
    }
    assert {command[1] for command in named if command[0] == "model"} >= {"catalog", "train", "export", "import"}
    for (first, *rest), options in named.items():
        module, words = ("model", rest) if first == "model" else ("client", [first, *rest])
        help_text = run(module, *words, "--help")
        assert [option for option in options if option not in help_text] == [], (first, *rest)


@pytest.mark.parametrize(
    ("module", "commands"),
    [
        ("client", ["publish", "upload", "predict", "watch", "plan", "doctor", "dead-letters"]),
        ("model", ["train", "export", "evaluate", "catalog", "import"]),
        ("model", ["push", "list", "show", "diff", "rollback", "gc"]),
        ("model", ["alias set", "alias promote", "alias delete", "alias list"]),
        ("infra.local", ["up"]),
        ("infra.deploy", ["deploy", "rollback", "destroy", "smoke"]),
    ],
)
def test_every_command_has_help_with_an_example(root: Path, module: str, commands: list[str]) -> None:
    for command in commands:
        help_text = run(module, *command.split(), "--help")
        names = {"client": f"predictions {command}", "model": f"predictions model {command}"}
        assert f"python -m {module} {command}" in help_text or names.get(module, "-") in help_text


@cache
def run(module: str, *arguments: str) -> str:
    """The output of `python -m module arguments`, run in this process."""
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


@pytest.mark.parametrize("name", ["README.md", "docs/deployment.md"])
def test_the_plan_on_the_page_is_a_run(name: str, root: Path) -> None:
    text = (root / name).read_text()
    (command, shown) = re.findall(r"^\$ predictions (plan .+)\n((?:.+\n)+?)```", text, re.M)[0]
    printed = iter(run("client", *command.split()).splitlines())
    for line in shown.splitlines():
        assert line == "…" or line in printed, line  # in this order


def test_the_clients_variables_are_those_it_reads(page: Callable[[str], str], root: Path) -> None:
    listed = {variable for variable, _, _ in table(page("settings"), "client's variable")}
    read = set()
    for path in (root / "client").rglob("*.py"):
        for named in re.findall(r"(?:environ\.get\(|envvar=)(\[[^]]+\]|\"[A-Z_]+\")", path.read_text()):
            read |= set(re.findall(r"[A-Z_]+", named))
    assert listed == read


def test_the_roots_requirements_are_the_union(root: Path) -> None:
    union = (root / "requirements.txt").read_text()
    for package in ("functions", "client", "model", "infra/local"):
        assert f"-r {package}/requirements.txt" in union
    pins: dict[str, str] = {}
    for path in requirement_files():
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
    assert said["pixels of all frames of an AVIF's image"].startswith(f"{2 * limits.max_pixels_of['AVIF']:,}:")
    assert said["coded images in an AVIF"] == f"{avif.MAX_ITEMS:,}"
    assert said["boxes, pieces and units of an AVIF"] == f"{avif.MAX_PARTS:,}"
    assert said["groups of prefix codes in a lossless WebP"].startswith(f"{webp.MAX_GROUPS:,}:")
    assert said["blocks of pixels in the small images before these"] == f"{webp.MAX_BLOCKS:,}"
    assert said["pixels of an edge"] == f"{limits.max_edge:,}"
    assert said["scans times pixels of a JPEG"].startswith(f"{limits.max_scanned_pixels:,}")
    assert said["strips or tiles of a TIFF"].startswith(f"{MAX_PARTS:,};")
    assert said["strips or tiles of a TIFF"].endswith(f" {MAX_FRACTIONS:,} fractions")
    assert f"{limits.max_pixels:,} each, {2 * limits.max_pixels:,} all" in said["pixels of a TIFF's tiles"]
    assert said["bytes of EXIF"].startswith(f"{limits.max_exif_bytes:,};")
    assert said["parts that are read one by one"].startswith(f"{limits.max_reads:,}")
    assert said["seconds of decoding"].startswith(f"{limits.max_seconds:g},")


def test_the_page_of_modules_is_written_from_their_docstrings() -> None:
    assert modules.PAGE.read_text() == modules.page(), "write it: python -m docs.modules"
