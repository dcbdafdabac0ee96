"""Similar images and the list of models in a real browser, against the whole twin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.twin import Delivery, Twin
from tests.conftest import require
from tests.service.page_server import PageServer, Tab, browser

pytestmark = pytest.mark.slow


@pytest.fixture
def tab(shared_twin: Callable[[Delivery], Twin], root: Path, tmp_path: Path) -> Iterator[Tab]:
    with PageServer(root, tmp_path, shared_twin("push").env) as server, browser() as chromium:
        tab = Tab(chromium.new_page())
        tab.page.goto(server.url)
        tab.connected()
        yield tab
        assert tab.logged == []
        assert {url[: len(server.url)] for url in tab.requested if not url.startswith("blob:")} == {server.url}


def test_similar_images_are_found_and_lead_on(tab: Tab, samples: Path) -> None:
    page = tab.page
    page.check("#features")
    page.set_input_files("#files", [samples / name for name in ("sneaker.jpg", "dress.png", "t-shirt.png")])
    tab.counts("3 answered")
    page.uncheck("#features")
    page.set_input_files("#files", samples / "trouser.jpg")
    tab.counts("4 answered")
    page.get_by_label("Details of trouser.jpg").click()
    assert "found for what is sent with Similar images on" in page.inner_text(".similar")
    page.keyboard.press("Escape")

    page.get_by_label("Details of t-shirt.png").click()
    page.click("text=Find similar images")
    page.wait_for_selector(".similar ol li >> nth=1")
    assert "The nearest of 2 images with features of fashion-mnist " in page.inner_text(".similar [role=status]")
    first, second = page.locator(".similar li").all_inner_texts()
    assert "dress.png" in first and "sneaker.jpg" in second, "a dress is nearer to a T-shirt than a shoe"
    tab.until("[...document.querySelectorAll('.similar img')].filter((image) => image.naturalWidth > 0).length === 2")
    for width, scheme in ((390, "dark"), (1280, "light")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        check(page, width)
    page.focus(".similar li button")
    page.keyboard.press("Enter")
    tab.until("document.querySelector('#details-title').textContent === 'dress.png'")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Close"
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()


def test_a_model_is_chosen_from_the_list_or_typed(tab: Tab, samples: Path) -> None:
    page = tab.page
    tab.until("document.querySelector('#models option')?.value === 'fashion-mnist'")
    assert page.get_attribute("#model", "placeholder") == "fashion-mnist (default)"
    assert page.evaluate("document.querySelector('#model').list.id") == "models" and page.is_hidden("#models-note")
    assert page.input_value("#top-k") == "3"
    for typed, row in (
        ("fashion-mnist", "Sneaker"),
        ("shoes@2", "unknown_model: model is 'shoes@2'; this worker serves"),
    ):
        page.fill("#model", typed)
        page.set_input_files("#files", samples / "sneaker.jpg")
        tab.until(f"document.querySelector('#rows').innerText.includes({row!r})")
        assert page.locator("#rows li:first-child .bars > div").count() == (3 if row == "Sneaker" else 0)
    page.route(
        "**/api/models", lambda route: route.fulfill(json={"models": [], "default": "", "note": "Set REGISTRY."})
    )
    page.evaluate("performance.now = () => 1e9")  # the list is read at most every five seconds
    page.evaluate("document.activeElement.blur()")
    page.focus("#model")
    tab.until("document.querySelector('#models-note').textContent === 'Set REGISTRY.'")
    assert page.is_visible("#models-note") and page.locator("#models option").count() == 0
    check(page, 1280)


def check(page: Any, width: int) -> None:
    """Axe finds nothing, and nothing is wider than the screen."""
    require("axe_playwright_python")
    from axe_playwright_python.sync_playwright import Axe

    problems = Axe().run(page).response["violations"]
    assert problems == [], json.dumps(problems, indent=1)[:4000]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
