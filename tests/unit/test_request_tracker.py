"""The request tracker: matching, duplicates, precedence of responses, and missing ones."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from client.images import Image, ImageFile
from client.results.request_tracker import Outcome, RequestTracker
from client.transport import send_pool
from functions.messages.contract import Error, Response
from model.labels import Prediction


def image(name: str) -> ImageFile:
    return ImageFile(Path("shop") / name, name)


def ok(request_id: str, label: str = "Bag") -> Response:
    return Response(request_id, (Prediction(label, 0.9),))


def error(request_id: str, code: str) -> Response:
    return Response(request_id, error=Error(code, "a sentence"))


def ended(tracker: RequestTracker, timeout_s: float = 5.0) -> dict[str, Outcome]:
    outcomes = list(tracker.outcomes(timeout_s))
    by_name = {outcome.image.name: outcome for outcome in outcomes}
    assert len(by_name) == len(outcomes), "an image ended twice"
    return by_name


def result(outcome: Outcome) -> str:
    assert outcome.response
    return outcome.response.error.code if outcome.response.error else outcome.response.predictions[0].label


def test_responses_are_matched_by_request_id() -> None:
    tracker = RequestTracker()
    tracker.expect("r1", image("a"))
    tracker.expect("r2", image("b"))
    tracker.finish_sending()
    tracker.receive(ok("r2", "Coat"))
    tracker.receive(ok("r1", "Bag"))
    assert {name: result(outcome) for name, outcome in ended(tracker).items()} == {"a": "Bag", "b": "Coat"}


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ([ok("r", "first"), ok("r", "second")], "first"),
        ([ok("r", "first"), error("r", "unavailable")], "first"),
        ([error("r", "unavailable"), ok("r", "late")], "late"),
        ([error("r", "unavailable"), error("r", "expired")], "expired"),
        ([error("r", "unavailable"), error("r", "unavailable")], "unavailable"),
        ([error("r", "expired"), error("r", "unavailable")], "expired"),
        ([error("r", "image_not_found"), error("r", "expired")], "image_not_found"),
        ([error("r", "image_not_found"), ok("r", "late")], "late"),
        ([error("r", "image_not_found"), ok("r", "late"), ok("r", "later")], "late"),
        ([ok("r", "first"), error("r", "expired")], "first"),
    ],
)
@pytest.mark.parametrize("early", [False, True], ids=["registered before", "registered after"])
def test_the_first_predictions_of_a_request_are_kept(answers: list[Response], kept: str, early: bool) -> None:
    tracker = RequestTracker()
    tracker.expect("other", image("b"))
    if not early:
        tracker.expect("r", image("a"))
    for answer in answers:
        tracker.receive(answer)
    if early:
        tracker.expect("r", image("a"))
    tracker.finish_sending()
    tracker.receive(ok("other"))
    assert result(ended(tracker)["a"]) == kept


@pytest.mark.parametrize("code", ["unavailable", "invalid_image"])
def test_an_error_response_counts_when_no_predictions_follow(code: str) -> None:
    tracker = RequestTracker()
    tracker.expect("r", image("a"))
    tracker.receive(error("r", code))
    tracker.finish_sending()
    began = time.monotonic()
    outcome = ended(tracker, 30)["a"]
    assert result(outcome) == code and not outcome.ok and not outcome.missing
    assert time.monotonic() - began < 5, "the tracker does not wait for a better response"


def test_a_response_that_arrives_before_its_request_is_kept() -> None:
    tracker = RequestTracker()
    tracker.receive(ok("uploads/a#1"))
    tracker.expect("uploads/a#1", image("a"))
    tracker.finish_sending()
    assert result(ended(tracker)["a"]) == "Bag"


def test_responses_to_unknown_requests_do_not_fill_the_memory() -> None:
    tracker = RequestTracker()
    for number in range(5000):
        tracker.receive(ok(f"unknown-{number}"))
    tracker.expect("unknown-0", image("a"))
    tracker.finish_sending()
    assert ended(tracker, 0.01)["a"].missing


def test_missing_responses_are_named_after_the_timeout() -> None:
    tracker = RequestTracker()
    tracker.expect("r1", image("a"))
    tracker.expect("r2", image("b"))
    tracker.receive(ok("r1"))
    tracker.finish_sending()
    outcomes = ended(tracker, 0.05)
    assert outcomes["a"].ok
    assert outcomes["b"] == Outcome(image("b"), "r2", problem="no answer within 0.05 s", missing=True)


def test_the_timeout_counts_from_the_last_sent() -> None:
    now = [0.0]
    tracker = RequestTracker(clock=lambda: now[0])
    tracker.expect("r", image("a"))
    now[0] = 1000.0

    def finish() -> None:
        tracker.finish_sending()
        tracker.receive(ok("r"))

    threading.Timer(0.05, finish).start()
    outcome = ended(tracker, 1)["a"]
    assert outcome.ok and outcome.ms == 1_000_000


def test_the_timeout_counts_again_from_each_answer() -> None:
    now = [0.0]
    tracker = RequestTracker(clock=lambda: now[0])
    for number in range(4):
        tracker.expect(f"r{number}", image(str(number)))
    tracker.finish_sending()
    seen = tracker.outcomes(60)
    for number, answer in enumerate([ok("r0"), ok("r1")]):
        now[0] += 50
        tracker.receive(answer)
        assert next(seen).request_id == f"r{number}"
    now[0] += 50
    tracker.receive(error("r2", "invalid_image"))
    tracker.receive(ok("r1"))  # a duplicate is no sign of progress
    now[0] += 59
    threading.Timer(0.05, lambda: now.__setitem__(0, now[0] + 2)).start()
    assert [(each.request_id, each.missing) for each in seen] == [("r2", False), ("r3", True)]


def test_waiting_for_the_senders_takes_no_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = RequestTracker()
    waits: list[float | None] = []
    wait = tracker._changed.wait

    def counted(timeout: float | None = None) -> bool:
        waits.append(timeout)
        return wait(timeout)

    monkeypatch.setattr(tracker._changed, "wait", counted)
    threading.Timer(0.3, tracker.finish_sending).start()
    assert list(tracker.outcomes(0.0)) == [] and len(waits) < 10


def test_a_broken_stream_ends_the_wait() -> None:
    tracker = RequestTracker()
    tracker.expect("r", image("a"))
    tracker.abort("the stream broke")
    assert ended(tracker, 60)["a"].problem == "the stream broke"


def test_an_image_that_cannot_be_sent_is_not_waited_for() -> None:
    tracker = RequestTracker()
    tracker.expect("r", image("a"))
    tracker.fail(image("a"), "no such topic")
    tracker.fail(image("b"), "no such file")
    tracker.finish_sending()
    outcomes = ended(tracker, 60)
    assert outcomes["a"].problem == "no such topic" and outcomes["b"].problem == "no such file"
    assert not any(outcome.missing or outcome.ok for outcome in outcomes.values())


@pytest.mark.parametrize("answer", [ok("r"), error("r", "invalid_image")])
def test_a_response_takes_precedence_over_a_failed_confirmation(answer: Response) -> None:
    tracker = RequestTracker()
    tracker.expect("r", image("a"))
    tracker.receive(answer)
    tracker.fail(image("a"), "deadline exceeded")
    tracker.finish_sending()
    assert ended(tracker)["a"].response == answer


def test_stopping_returns_the_kept_error_responses() -> None:
    tracker = RequestTracker()
    tracker.expect("r", image("a"))
    tracker.receive(error("r", "invalid_image"))
    assert [result(outcome) for outcome in tracker.stop()] == ["invalid_image"]


def test_stopping_returns_unread_outcomes_and_names_the_unanswered() -> None:
    tracker = RequestTracker()
    tracker.expect("r1", image("a"))
    tracker.expect("r2", image("b"))
    tracker.receive(ok("r1"))
    assert [(outcome.request_id, outcome.missing) for outcome in tracker.stop()] == [("r1", False), ("r2", True)]
    assert tracker.stopped


def test_the_send_pool_sends_all_images_and_survives_failures() -> None:
    tracker, images = RequestTracker(), [image(str(number)) for number in range(50)]
    at_once, most = [0], [0]
    lock = threading.Lock()

    def send(each: Image) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        try:
            if each.name == "7":
                raise FileNotFoundError(2, "No such file or directory")
            tracker.settle(Outcome(each, each.name))
        finally:
            with lock:
                at_once[0] -= 1

    send_pool.start(images, send, tracker, threads=4)
    outcomes = ended(tracker, 10)
    assert len(outcomes) == 50 and most[0] <= 4
    assert [name for name, outcome in outcomes.items() if not outcome.ok] == ["7"]
    assert outcomes["7"].problem == "no such file or directory"


def test_the_send_pool_uses_all_of_its_threads() -> None:
    tracker, together = RequestTracker(), threading.Barrier(4)

    def send(each: Image) -> None:
        together.wait(10)
        tracker.settle(Outcome(each, each.name))

    send_pool.start([image(str(number)) for number in range(8)], send, tracker, threads=4)
    assert all(outcome.ok for outcome in ended(tracker, 10).values())


def test_few_images_need_few_threads() -> None:
    tracker = RequestTracker()
    before, threads = set(threading.enumerate()), set[threading.Thread]()

    def send(each: Image) -> None:
        for _ in range(2):
            threads.update(thread for thread in threading.enumerate() if thread.name.startswith("send-"))
            time.sleep(0.05)
        tracker.settle(Outcome(each, each.name))

    send_pool.start([image("a")], send, tracker, threads=16)
    assert len(ended(tracker, 10)) == 1 and len(threads - before) <= 2


def test_the_send_pool_stops_when_the_tracker_is_stopped() -> None:
    tracker, sent = RequestTracker(), threading.Event()
    tracker.stop()
    send_pool.start([image("a")], lambda each: sent.set(), tracker, threads=1)
    assert ended(tracker, 0.2) == {} and not sent.is_set()


def test_an_image_that_is_sent_again_is_awaited_once() -> None:
    """An upload that is made again has another request id."""
    tracker = RequestTracker()
    tracker.expect("r1", image("a"))
    tracker.receive(error("r1", "unavailable"))
    tracker.expect("r2", image("a"))
    tracker.finish_sending()
    tracker.receive(ok("r2"))
    assert result(ended(tracker)["a"]) == "Bag"
