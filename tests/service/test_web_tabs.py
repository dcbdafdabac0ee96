"""Several tabs of the page in one browser: they share one stream of events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.local.twin import Delivery, Twin
from tests.service.page_server import PageServer, Tab

pytestmark = pytest.mark.slow

TABS = 8
"""More than the six connections that a browser opens to one server."""


@pytest.fixture(scope="module")
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


def streams(tabs: list[Tab]) -> list[int]:
    """How many streams of events each tab has requested."""
    return [sum(url.endswith("/api/events") for url in tab.requested) for tab in tabs]


def test_eight_tabs_receive_all_rows_and_each_can_send(chromium: Any, server: PageServer, samples: Path) -> None:
    context = chromium.new_context()
    tabs = [Tab(context.new_page()) for _ in range(TABS)]
    for tab in tabs:
        tab.open(server)
    data = (samples / "sneaker.jpg").read_bytes()

    def send(tab: Tab, name: str) -> None:
        tab.page.set_input_files("#files", {"name": name, "mimeType": "image/jpeg", "buffer": data})

    for number, tab in enumerate(tabs):
        send(tab, f"{number}.jpg")
    for tab in tabs:
        tab.counts(f"{TABS} images · {TABS} answered")
    assert sorted(streams(tabs)) == [0] * (TABS - 1) + [1]
    leader = tabs.pop(streams(tabs).index(1))
    leader.page.close()
    send(tabs[0], "after.jpg")
    for tab in tabs:
        tab.counts(f"{TABS + 1} answered")
        tab.connected()
    assert sum(streams(tabs)) == 1, "another tab has opened the stream"
    assert [tab.logged for tab in [leader, *tabs]] == [[]] * TABS
    context.close()


def test_a_tab_that_the_browser_has_stopped_loses_the_stream(chromium: Any, server: PageServer, samples: Path) -> None:
    context = chromium.new_context()
    leader, other = Tab(context.new_page()), Tab(context.new_page())
    leader.open(server)
    other.page.clock.install()
    other.open(server)
    assert streams([leader, other]) == [1, 0]
    context.new_cdp_session(leader.page).send("Page.setWebLifecycleState", {"state": "frozen"})
    other.page.clock.fast_forward(60_000)
    other.until("document.querySelector('#connection').textContent === 'connected'")
    other.page.set_input_files("#files", samples / "sneaker.jpg")
    other.counts("1 answered")
    assert streams([other]) == [1]
    context.close()


def test_a_page_at_an_address_without_tls_has_its_own_stream(chromium: Any, server: PageServer, samples: Path) -> None:
    """As on a phone that opens another machine's page. Browsers trust 127.0.0.1, but not 0.0.0.0."""
    tab = Tab(chromium.new_page())
    tab.page.goto(server.url.replace("127.0.0.1", "0.0.0.0"))
    assert tab.page.evaluate("[isSecureContext, navigator.locks === undefined]") == [False, True]
    tab.connected()
    tab.page.set_input_files("#files", samples / "sneaker.jpg")
    tab.counts("1 answered")
    assert streams([tab]) == [1]
    assert all("Cross-Origin-Opener-Policy header has been ignored" in line for line in tab.logged), tab.logged
    tab.page.close()
