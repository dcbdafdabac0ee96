"""The page's evaluation in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import require
from tests.measured_jobs import MeasuredJobs, measured_jobs
from tests.registry_models import NAME, SHIPPED
from tests.service.page_server import PageServer, Tab, browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def jobs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> MeasuredJobs:
    return measured_jobs(tmp_path_factory.mktemp("measured"), shared_data / "fashion-mnist")


@pytest.fixture(scope="module")
def server(root: Path, jobs: MeasuredJobs) -> Iterator[PageServer]:
    registry = {"REGISTRY": str(jobs.folder / "registry"), "MODELS": NAME}
    places = {"GOOGLE_CLOUD_PROJECT": "local", "WORKER_URL": "", "ENDPOINT_URL": ""}
    with PageServer(root, jobs.folder, registry | places) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def tab(request: pytest.FixtureRequest, chromium: Any, server: PageServer) -> Iterator[Tab]:
    """The page. At the end: no error was logged, nothing was requested elsewhere, and nothing is too wide."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab = Tab(context.new_page())
    tab.page.goto(server.url)
    tab.connected()
    yield tab
    assert tab.logged == []
    assert {urlsplit(url).netloc for url in tab.requested} == {urlsplit(server.url).netloc}
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def matrix(tab: Tab, place: str) -> list[list[int]]:
    """The numbers of a confusion matrix, whose rows and columns have header cells."""
    rows = tab.page.evaluate(
        """place => [...document.querySelectorAll(`${place} .matrix tbody tr`)].map(row => {
             const cells = [...row.querySelectorAll("td")].map(cell => cell.textContent);
             return [row.querySelectorAll("th[scope=row]").length, ...cells];
           })""",
        place,
    )
    assert all(headers == 1 for headers, *_ in rows)
    assert tab.page.locator(f"{place} .matrix thead th[scope=col]").count() == len(rows)
    return [[int(cell.replace(",", "")) for cell in cells] for _, *cells in rows]


def test_cards_jobs_and_canaries_are_shown_with_the_numbers_of_the_server(
    tab: Tab, server: PageServer, jobs: MeasuredJobs
) -> None:
    page, kept = tab.page, json.loads((SHIPPED / "evaluation.json").read_text())
    page.wait_for_selector("#served b")
    served = page.inner_text("#served")
    version, accuracy = jobs.versions[0], 100 * kept["accuracy"]
    assert served.startswith(f"{NAME} {version}: 10 labels, accuracy {accuracy:.2f} %, macro F1 ")
    page.click("#served a")
    page.wait_for_selector("#card .matrix")
    assert matrix(tab, "#card") == kept["confusion"]["counts"]
    shades: dict[int, str] = dict(
        page.evaluate(
            """[...document.querySelectorAll("#card .matrix .wrong")]
                 .map(cell => [+cell.textContent, getComputedStyle(cell).backgroundColor])"""
        )
    )
    assert len(set(shades.values())) == len(shades) > 5, "another number has another shade"
    page.select_option("#card-model", f"{NAME}@candidate")
    page.wait_for_selector("#card >> text=There is no evaluation: ")

    page.select_option("#measure-job", jobs.published)
    assert page.inner_text("#labels-status") == "The labels of photos/ are used, where the images are."
    page.click("#measure .main")
    page.wait_for_selector("#measured .mistakes img")
    address = f"{server.url}/api/evaluation/measure"
    measured = requests.post(address, params={"job": jobs.published}, timeout=30).json()
    assert matrix(tab, "#measured") == measured["confusion"]["counts"]
    assert f"{100 * measured['accuracy']:.2f} %" in page.inner_text("#measured .figures")
    shown = page.locator(".mistakes li").all_inner_texts()
    assert len(shown) == len(measured["mistakes"]) and measured["mistakes"][0]["file"] in shown[0]
    page.locator(".mistakes li").last.scroll_into_view_if_needed()
    tab.until("[...document.querySelectorAll('.mistakes img')].every(image => image.naturalWidth > 0)")

    page.select_option("#measure-job", jobs.dropped)
    page.click("#measure .main")
    assert page.inner_text("#measure-status").startswith("Choose the labels: a folder")
    page.set_input_files("#folder", jobs.folder / "photos")
    tab.until("document.querySelector('#labels-status').textContent.startsWith('The labels of photos are used')")
    page.click("#measure .main")
    page.wait_for_selector("#measured .mistakes")
    assert matrix(tab, "#measured") == measured["confusion"]["counts"], "the same images, by their folders"

    page.select_option("#compare-job", jobs.dropped)
    page.click("#compare .main")
    tab.until("document.querySelector('#compare-status').textContent.includes('responses of two versions')")
    page.select_option("#compare-job", jobs.split)
    page.check("#compare-labels")
    page.click("#compare .main")
    page.wait_for_selector("#compared .verdict")
    address = f"{server.url}/api/evaluation/compare"
    compared = requests.post(address, jobs.labels, params={"job": jobs.split}, timeout=30).json()["found"]
    text = page.inner_text("#compared")
    assert f"Verdict: {compared['verdict']}" in text and compared["reasons"][0] in text
    for side in ("stable", "candidate"):
        assert f"{100 * compared['accuracy'][side]['value']:.2f} %" in text
        assert page.locator(f"#{side} option").count() == 3, "as the registry says, and both versions"
    check_for_everyone(tab)


def test_shares_are_rounded_as_the_commands_round_them(tab: Tab) -> None:
    shares = [part / of for of in (160, 199, 239, 800) for part in range(-of, of + 1)]
    script = "async shares => { const { percent } = await import('/static/figures.js'); return shares.map(percent); }"
    assert tab.page.evaluate(script, shares) == [f"{100 * share:.2f} %" for share in shares]


def check_for_everyone(tab: Tab) -> None:
    require("axe_playwright_python")
    from axe_playwright_python.sync_playwright import Axe

    problems = Axe().run(tab.page).response["violations"]
    assert problems == [], json.dumps(problems, indent=1)[:4000]
