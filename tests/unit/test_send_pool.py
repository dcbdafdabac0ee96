"""Sending stops when no image can be sent any more, and goes on when only some cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.images import Image, ImageFile
from client.results.request_tracker import Outcome, RequestTracker
from client.text import SendError
from client.transport import send_pool
from tests.waiting import until

IMAGES: list[Image] = [ImageFile(Path(f"{number}.png"), f"{number}.png") for number in range(10)]


def run(fails: set[int], threads: int = 1, **kind: bool) -> tuple[RequestTracker, list[int]]:
    """Send ten images, of which these fail, and return the tracker and the numbers of those that were tried."""
    tracker, tried = RequestTracker(), []

    def send(image: Image) -> None:
        number = IMAGES.index(image)
        tried.append(number)
        if number in fails:
            raise SendError("no answer", **kind)
        tracker.settle(Outcome(image))

    send_pool.start(IMAGES, send, tracker, threads)
    assert until(lambda: tracker.all_sent, 10)
    return tracker, tried


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_pool, "RETRY_S", 0)


@pytest.mark.usefixtures("at_once")
def test_sending_stops_after_three_images_that_fail_for_a_temporary_reason() -> None:
    tracker, tried = run({4, 5, 6, 7, 8, 9}, temporary=True)
    assert tracker.unsent_reason == "no answer" and tried == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("threads", [1, 4])
def test_an_image_that_is_sent_in_between_shows_that_others_can_be(threads: int) -> None:
    tracker, tried = run({0, 1, 3, 4, 6, 7, 9} if threads == 1 else {0, 5}, threads, temporary=True)
    assert not tracker.unsent_reason and sorted(tried) == [*range(10)]


def test_images_that_fail_within_seconds_do_not_stop_the_others() -> None:
    tracker, tried = run({*range(9)}, temporary=True)
    assert not tracker.unsent_reason and len(tried) == 10


@pytest.mark.usefixtures("at_once")
def test_faults_of_single_images_never_stop_the_others() -> None:
    tracker, tried = run({*range(10)})
    assert not tracker.unsent_reason and len(tried) == 10


def test_a_fault_of_all_images_stops_at_once() -> None:
    tracker, tried = run({2}, for_all=True)
    assert tracker.unsent_reason == "no answer" and tried == [0, 1, 2]
