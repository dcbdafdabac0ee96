"""What the page still has to answer: images go on after a kill, and again after an error that may pass."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from infra.local.twin import Delivery, Twin
from tests.service.page_server import PageServer
from tests.waiting import until


@pytest.fixture(scope="module")
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def shoe(samples: Path) -> bytes:
    return (samples / "sneaker.jpg").read_bytes()


def test_what_was_not_answered_goes_on_after_a_kill(
    twin: Twin, held_topic: Callable[..., None], root: Path, tmp_path: Path, shoe: bytes
) -> None:
    with PageServer(root, tmp_path, twin.env, "--topic", "held") as held:
        first = held.upload(shoe, uuid.uuid4().hex, "first.jpg").json()
        assert until(lambda: held.rows()[0]["state"] == "sent", 20), held.said()
        held.end(signal.SIGKILL)
        held.start()
        assert held.rows()[0]["job"] == first["job"] and held.rows()[0]["file"] == "first.jpg"
        assert until(lambda: requests.get(f"{held.url}/api/live", timeout=10).json()["waiting"] == 1, 20)
        held_topic()
        assert until(held.answered(1), 20), held.said()
        assert held.rows()[0]["label"] == "Sneaker"
        assert until(lambda: not any((tmp_path / "jobs.db-web" / "images").iterdir()))
        assert held.end() == 130
        assert "Traceback" not in held.said()


def test_an_image_whose_error_may_pass_goes_again_in_its_row(
    twin: Twin, held_topic: Callable[..., None], root: Path, tmp_path: Path, shoe: bytes
) -> None:
    dead = {"CloudPubSubDeadLetterSourceSubscription": "held-sub", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}
    with PageServer(root, tmp_path, twin.env, "--topic", "held") as held:
        sent = held.upload(shoe, uuid.uuid4().hex, "first.jpg").json()
        assert until(lambda: held.rows()[0]["state"] == "sent", 20), held.said()
        assert held.again(sent["job"], 1).json() == {"sent": 0}, "it waits for its response"
        held_topic("dead_predict", **dead)
        assert until(held.answered(1), 20), held.said()
        assert held.rows()[0]["error_code"] == "unavailable" and held.rows()[0]["again"] is True
        held.end()  # the images of a job that has ended go again too
        held.start()
        assert held.again(sent["job"], 1).json() == {"sent": 1}
        assert held.again(sent["job"], 1).json() == {"sent": 0}, "it goes once"
        assert until(lambda: held.rows()[0]["state"] == "sent", 20), held.said()
        held_topic()
        assert until(lambda: held.rows()[0]["state"] == "ok", 20), held.said()
        assert len(held.rows()) == 1 and held.rows()[0]["label"] == "Sneaker" and "again" not in held.rows()[0]

        def live() -> tuple[dict[str, int], int]:
            found = requests.get(f"{held.url}/api/live", timeout=10).json()
            return found["outcomes"], found["waiting"]

        assert until(lambda: live() == ({"ok": 1}, 0)), live()
