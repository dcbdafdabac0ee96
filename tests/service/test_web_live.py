"""What the page shows of images that wait, fail and go again, and its figures, in a real browser against the twin."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from client.__main__ import main
from client.jobs.store import JobStore
from infra.local.twin import Delivery, Twin
from tests.service.page_server import PageServer, Tab
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def other_topic(twin: Twin, root: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PageServer]:
    """A page that sends to the topic of the test's marker."""
    with PageServer(root, tmp_path, twin.env, "--topic", request.param) as server:
        yield server


@pytest.fixture
def files(samples: Path) -> list[dict[str, Any]]:
    """200 images."""
    data = (samples / "sneaker.jpg").read_bytes()
    return [{"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": data} for number in range(200)]


@pytest.mark.parametrize("other_topic", ["held"], indirect=True)
def test_an_image_that_waits_says_how_many_wait_before_it(
    chromium: Any, held_topic: Callable[[], object], other_topic: PageServer, files: list[dict[str, Any]]
) -> None:
    tab = Tab(chromium.new_page(viewport={"width": 390, "height": 844}))
    tab.open(other_topic)
    tab.page.set_input_files("#files", files[:3])

    def shows(*waits: str) -> None:
        expected = "\n".join(f"waits for its response{each} in the queue" for each in waits)
        assert until(lambda: "\n".join(tab.page.locator("#rows .waits").all_inner_texts()) == expected, 30), expected

    before = " of these images wait before it"
    shows(f" · 2{before} · 3", f" · 1{before} · 3", " · 3")
    held_topic()
    tab.counts("1 answered")
    shows(f" · 1{before} · 2", " · 2")
    tab.page.click("nav >> text=Live")
    tab.until("document.querySelector('#live').innerText.includes('2\\nin the queue held-sub')")
    assert "2\nof this page wait for a response" in tab.page.inner_text("#live")
    assert tab.logged == []
    tab.page.close()


@pytest.mark.parametrize("other_topic", ["later"], indirect=True)
def test_images_that_could_not_be_sent_go_again(
    chromium: Any, twin: Twin, other_topic: PageServer, files: list[dict[str, Any]]
) -> None:
    """A topic that does not exist yet stands for the outage."""
    tab = Tab(chromium.new_page())
    tab.open(other_topic)
    tab.page.set_input_files("#files", files[:3])
    tab.counts("3 not sent")
    assert "topics/later does not exist" in tab.page.inner_text("#rows li:first-child .problem")
    project = f"http://{twin.pubsub_host}/v1/projects/{twin.project}"
    topic, subscription = f"{project}/topics/later", f"{project}/subscriptions/later-sub"
    assert requests.put(topic, json={}, timeout=10).ok
    push = {"pushEndpoint": f"{twin.env['WORKER_URL']}/"}
    body = {"topic": f"projects/{twin.project}/topics/later", "pushConfig": push}
    assert requests.put(subscription, json=body, timeout=10).ok
    tab.page.get_by_label("Send 1.jpg again").click()
    tab.counts("1 answered · 0 refused · 2 not sent")
    tab.page.reload()
    tab.page.click("text=Send 2 again")
    tab.counts("3 images · 3 answered · 0 refused · 0 wait")
    assert tab.page.is_hidden("#again")
    assert {row["file"] for row in other_topic.rows()} == {"0.jpg", "1.jpg", "2.jpg"} and len(other_topic.rows()) == 3
    assert requests.delete(subscription, timeout=10).ok and requests.delete(topic, timeout=10).ok
    tab.page.close()


def test_a_drop_of_200_survives_a_kill_of_the_server(tab: Tab, server: PageServer, files: list[dict[str, Any]]) -> None:
    tab.page.set_input_files("#files", files)
    assert until(lambda: len(server.rows()) >= 50, 30)
    server.end(signal.SIGKILL)
    assert tab.page.locator("#rows").is_visible()
    server.start()
    tab.counts("200 images · 200 answered · 0 refused · 0 wait")
    with JobStore(server.state) as store:
        found = Counter(record.file for job in store.jobs() for record in job.records())
    assert found == Counter(f"{number}.jpg" for number in range(200)), "none is lost or doubled"
    assert all("ERR_" in line for line in tab.logged), tab.logged
    tab.logged.clear()  # Chromium itself logs each request that nothing answers


def test_an_image_of_the_history_and_of_a_late_reply_is_one_row(
    chromium: Any, server: PageServer, samples: Path
) -> None:
    """Without its stream, the page knows the row from the history alone, and then from the reply to its upload.

    The image is chosen before the page knows how images travel.
    """
    tab, facts, held = Tab(chromium.new_page()), list[Any](), list[Any]()
    tab.page.route("**/api/events", lambda route: route.abort())
    tab.page.route("**/api/images?*", lambda route: held.extend((route, route.fetch())))
    tab.page.route("**/api/facts", lambda route: facts.append(route))
    tab.page.goto(server.url)
    tab.page.set_input_files("#files", samples / "sneaker.jpg")
    assert until(lambda: tab.page.evaluate("true") and facts), "a call lets Playwright handle the request"
    facts[0].continue_()
    tab.until("document.querySelectorAll('#rows li').length === 1")
    assert until(lambda: tab.page.evaluate("true") and server.answered(1)())
    tab.page.evaluate("new BroadcastChannel('events').postMessage({name: 'reload', data: {}})")
    tab.counts("2 images · 1 answered")
    route, reply = held
    route.fulfill(response=reply)
    tab.counts("1 images · 1 answered")
    assert until(lambda: server.rows()[0].get("thumbnail")), "also the thumbnail has arrived"
    tab.page.close()


def test_a_drop_that_is_too_large_is_refused_before_it_is_sent(tab: Tab, server: PageServer, tmp_path: Path) -> None:
    page = tab.page
    assert page.inner_text("#limits") == "At most 500 images and 500 MB at once, 20 MB each."
    page.set_input_files("#files", [{"name": f"{n}.png", "mimeType": "image/png", "buffer": b"x"} for n in range(501)])
    page.wait_for_selector("text=These are 501 images, and at most 500 are taken at once.")
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(500_000_001)
    page.set_input_files("#files", large)
    page.wait_for_selector("text=These images have 501 MB, and at most 500 MB are taken at once.")
    assert page.locator("#rows li").count() == 0 and server.rows() == []


def test_every_number_is_the_command_lines(
    tab: Tab, server: PageServer, twin: Twin, samples: Path, files: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Compares Live, Jobs and Details with report, jobs, status and results, all on one job store."""
    monkeypatch.setenv("PREDICTIONS_STATE", str(server.state))

    def run(*arguments: str, code: int = 0) -> str:
        assert main([*arguments], twin.env | {"PREDICTIONS_STATE": str(server.state)}) == code
        return capsys.readouterr().out

    page = tab.page
    page.set_input_files("#files", [*files[:60], {"name": "bad.png", "mimeType": "image/png", "buffer": b"no image"}])
    tab.counts("60 answered · 1 refused · 0 wait")
    others = sorted(samples.glob("*.jpg")) + sorted(samples.glob("*.png"))
    page.set_input_files("#files", others)
    tab.counts(f"{60 + len(others)} answered · 1 refused · 0 wait")
    [job] = [json.loads(line) for line in run("jobs", "--json").splitlines()]
    assert json.loads(run("status", job["job"], "--json")) == job

    page.click("nav >> text=Live")
    page.wait_for_selector("#live .drift table")
    report, artifact = tmp_path / "report.html", Path("model/artifacts/fashion-mnist")
    run("report", f"job:{job['job']}", "--out", str(report), "--reference", str(artifact), code=3)
    live, said = page.inner_text("#live"), report.read_text()
    tables = [rows(page.locator("#live table").nth(number).inner_html()) for number in range(2)]
    reported = [rows(table) for table in re.findall(r"<table.*?</table>", said, re.DOTALL)]
    by_stage = {row[0]: [f"{cell} ms" for cell in row[1:]] for table in reported for row in table[1:]}
    assert {row[0]: row[1:] for row in tables[0][1:]} == {row[0]: by_stage[row[0]] for row in tables[0][1:]}
    assert {row[0] for row in tables[0][1:]} == {"queue", "fetch", "decode", "predict", "total", "client"}
    drift = next(table for table in reported if table[0][1:3] == ["reference", "now"])
    assert sorted(row[:3] + row[3:] for row in tables[1][1:]) == sorted(row[:3] + row[4:] for row in drift[1:])
    labels, scores = (re.search(rf"{name} ([0-9.]+)", said) for name in ("index of labels", "of scores"))
    assert labels and scores and f"labels {labels[1]}, scores {scores[1]}; above 0.25 is drift" in live
    [reason, *_] = re.findall(r"<li>(the distribution of .*?)</li>", said)
    assert reason in live.replace("The distribution", "the distribution")
    figures = requests.get(f"{server.url}/api/live", timeout=10).json()
    assert f"{job['ok']}\nwith predictions" in live and f"{job['errors']['invalid_image']}\nrefused" in live
    for label, count in figures["labels"].items():
        assert f"{label}\n{count}" in live and re.search(rf">{label}<.*?>{count:,} \(", said, re.DOTALL), label
    assert "invalid_image\n1" in live

    page.click("nav >> text=Jobs")
    page.wait_for_selector("#jobs table")
    [_, cells] = rows(page.locator("#jobs table").inner_html())
    answered = f"{job['answered']} of {job['images']}"
    assert cells[:4] == [job["job"], job["state"], job["sends"], job["command"]] and cells[5:] == [
        answered,
        "1",
        "0",
        "0",
    ]

    [found] = [json.loads(line) for line in run("results", "find", "0.jpg", "--json").splitlines()]
    page.click("nav >> text=Images")
    page.fill("#find", found["request_id"])
    page.get_by_label("Details of 0.jpg").click()
    details = page.inner_text("#details")
    for name in ("queue_ms", "fetch_ms", "decode_ms", "predict_ms", "total_ms", "client_ms"):
        assert f"{found[name]:,.1f} ms" in details, name
    for prediction in found["predictions"]:
        assert f"{prediction['label']}\n{prediction['score']:.4f}" in details
    for name in ("model_digest", "engine", "completed_at", "request_id", "trace_id"):
        assert found[name] in details, name


def rows(table: str) -> list[list[str]]:
    """The cells of each row of a table, as text."""
    found = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in found
    ]
