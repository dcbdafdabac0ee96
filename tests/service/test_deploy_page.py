"""The page in a deployment: its image, its address, and commands that keep it. The tools are stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.deploy.__main__ import main
from infra.deploy.images import LOCKS, PAGE, source_tag
from tests.tools import BASE, DEPLOYED, REGISTRY, Tools

IMAGE = REGISTRY.replace("worker", "page")
ON = 'page = { members = { team = "group:team@example.com" } }\n'
RUNNING = f"-var=page_image={IMAGE}@sha256:5"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "page.tfvars"
    file.write_text(ON)
    return file


@pytest.fixture
def page_tools(tools: Tools) -> Iterator[Tools]:
    """Stand-ins where the page's image exists from the second look on."""
    tools.images("source-old", page_tag(tools), name="page")
    tools.images("source-old", name="page", once=True)
    yield tools


def page_tag(tools: Tools) -> str:
    return source_tag(tools.root, BASE, LOCKS[0], PAGE)


def run(tools: Tools, command: str, file: Path, **given: str) -> int:
    return main([command], {"PROJECT": "some-project", "TFVARS": str(file), **given}, tools.root)


def variables(tools: Tools, verb: str) -> list[list[str]]:
    """The images that each terraform command of this verb got."""
    calls = [call for call in tools.calls if verb in call]
    return [[word for word in call if word.startswith("-var=page_image")] for call in calls]


def running(tools: Tools, page: str = "on") -> None:
    tools.output(page_image=f"{IMAGE}@sha256:5" if page == "on" else None, deployed=DEPLOYED | {"page": page})


def test_the_pages_image_is_built_and_deployed(
    page_tools: Tools, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page_tools.output(page_url="https://page.example")
    assert run(page_tools, "deploy", file) == 0
    worker, page = (call for call in page_tools.calls if "submit" in call)
    assert not any("_FILE" in word for word in worker)
    given = f"_IMAGE={IMAGE}:{page_tag(page_tools)},_BASE={BASE},_LOCK={LOCKS[0]},_FILE=infra/page.Dockerfile"
    assert f"--substitutions={given}" in page
    assert variables(page_tools, "apply") == [["-var=page_image=none/yet"], [f"-var=page_image={IMAGE}@sha256:1"]]
    said = capfd.readouterr().out
    assert "# the page: https://page.example " in said and "\nexport PAGE_URL=https://page.example\n" in said


@pytest.mark.parametrize("text", ["", "page = null\n", "page_image = 1\n"], ids=str)
def test_without_page_no_image_is_built_for_it(tools: Tools, file: Path, text: str) -> None:
    file.write_text(text)
    assert run(tools, "deploy", file) == 0
    assert sum("submit" in call for call in tools.calls) == 1
    assert variables(tools, "apply") == [[], []]


def test_the_last_file_decides(tools: Tools, file: Path, tmp_path: Path) -> None:
    (tmp_path / "off.tfvars").write_text("page = null\n")
    assert main(["deploy"], {"PROJECT": "some-project", "TFVARS": f"{file},{tmp_path}/off.tfvars"}, tools.root) == 0
    assert variables(tools, "apply") == [[], []]


def test_the_tag_is_a_hash_of_what_the_page_contains(tools: Tools) -> None:
    page, worker = page_tag(tools), tools.tag
    (tools.root / "client" / "samples" / "bag.bmp").write_text("other pixels\n")
    assert page_tag(tools) == page
    for changed in ("client/gcp.py", "infra/page.Dockerfile"):
        (tools.root / changed).write_text("other\n")
        assert page_tag(tools) != page and tools.tag == worker
        page = page_tag(tools)


@pytest.mark.parametrize(("command", "verb"), [("rollback", "apply"), ("plan", "plan"), ("destroy", "destroy")])
def test_other_commands_keep_the_page_that_runs(tools: Tools, file: Path, command: str, verb: str) -> None:
    running(tools)
    tools.images("source-old")
    tools.answer("storage ls", "")
    given = {"rollback": {"IMAGE": "source-old"}, "plan": {"DRIFT": "1"}, "destroy": {"CONFIRM": "some-project"}}
    assert run(tools, command, file, **given[command]) == 0
    assert variables(tools, verb)[-1] == [RUNNING]


@pytest.mark.parametrize(("there", "text", "wanted"), [("off", ON, "on"), ("on", "", "off")])
def test_only_deploy_changes_whether_there_is_a_page(
    tools: Tools, file: Path, there: str, text: str, wanted: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    running(tools, there)
    assert run(tools, "destroy", file, CONFIRM="some-project") == 2
    assert (
        f"page is {wanted}, but some-project is deployed with page={there}: only `make deploy` may change it"
        in capfd.readouterr().err
    )


def test_a_plan_names_an_image_that_is_not_built_by_its_tag(tools: Tools, file: Path) -> None:
    assert run(tools, "plan", file) == 0
    assert variables(tools, "plan") == [[f"-var=page_image={IMAGE}:{page_tag(tools)}"]]
