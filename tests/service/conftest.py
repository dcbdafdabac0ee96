"""The fixtures of the page in a browser. A file that uses `server` or `held_topic` has a fixture `twin`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from infra.local.twin import Twin
from tests.service.page_server import PageServer, Tab, browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def server(twin: Twin, root: Path, tmp_path: Path) -> Iterator[PageServer]:
    with PageServer(root, tmp_path, twin.env) as server:
        yield server


@pytest.fixture
def tab(chromium: Any, server: PageServer) -> Iterator[Tab]:
    """The page of a fresh server. At the end: no error was logged, and nothing was requested elsewhere."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    tab = Tab(context.new_page())
    tab.open(server)
    yield tab
    assert tab.logged == []
    origins = {urlsplit(url)._replace(path="", query="", fragment="").geturl() for url in tab.requested}
    assert {origin for origin in origins if not origin.startswith("blob:")} == {server.url}
    context.close()


@pytest.fixture
def held_topic(twin: Twin) -> Iterator[Callable[..., None]]:
    """A topic `held` that no worker reads; the function passes one request on to the worker.

    Its arguments are another topic, and attributes that the message gets.
    """
    project = f"http://{twin.pubsub_host}/v1/projects/{twin.project}"
    topic, subscription = f"{project}/topics/held", f"{project}/subscriptions/held-sub"
    assert requests.put(topic, json={}, timeout=10).ok
    assert requests.put(subscription, json={"topic": f"projects/{twin.project}/topics/held"}, timeout=10).ok

    def pass_on(topic: str = "req_predict", **attributes: str) -> None:
        pulled = requests.post(f"{subscription}:pull", json={"maxMessages": 1}, timeout=10).json()
        [received] = pulled["receivedMessages"]
        held = received["message"]
        message = {"data": held["data"], "attributes": {**held["attributes"], **attributes}}
        assert requests.post(f"{project}/topics/{topic}:publish", json={"messages": [message]}, timeout=10).ok
        ids = {"ackIds": [received["ackId"]]}
        assert requests.post(f"{subscription}:acknowledge", json=ids, timeout=10).ok

    yield pass_on
    assert requests.delete(subscription, timeout=10).ok and requests.delete(topic, timeout=10).ok
