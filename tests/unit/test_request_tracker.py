"""Matching, duplicates, what supersedes what, and what is missing in the end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from client.image_files import Picture
from client.results.request_tracker import Outcome, RequestTracker
from client.transport import send_pool
from functions.messages.contract import Error, Response
from model.labels import Prediction


def picture(name: str) -> Picture:
    return Picture(Path("shop") / name, name)


def ok(request_id: str, label: str = "Bag") -> Response:
    return Response(request_id, (Prediction(label, 0.9),))


def error(request_id: str, code: str) -> Response:
    return Response(request_id, error=Error(code, "a sentence"))


def ended(tracker: RequestTracker, timeout_s: float = 5.0) -> dict[str, Outcome]:
    outcomes = list(tracker.outcomes(timeout_s))
    by_name = {outcome.picture.name: outcome for outcome in outcomes}
    assert len(by_name) == len(outcomes), "a picture ended twice"
    return by_name


def said(outcome: Outcome) -> str:
    assert outcome.response
    return outcome.response.error.code if outcome.response.error else outcome.response.predictions[0].label


def test_answers_are_matched_by_request_id() -> None:
    tracker = RequestTracker()
    tracker.expect("r1", picture("a"))
    tracker.expect("r2", picture("b"))
    tracker.finish_sending()
    tracker.offer(ok("r2", "Coat"))
    tracker.offer(ok("r1", "Bag"))
    assert {name: said(outcome) for name, outcome in ended(tracker).items()} == {"a": "Bag", "b": "Coat"}


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
@pytest.mark.parametrize("early", [False, True], ids=["asked before", "asked after"])
def test_of_several_answers_the_first_predictions_are_kept(answers: list[Response], kept: str, early: bool) -> None:
    tracker = RequestTracker()
    tracker.expect("other", picture("b"))
    if not early:
        tracker.expect("r", picture("a"))
    for answer in answers:
        tracker.offer(answer)
    if early:
        tracker.expect("r", picture("a"))
    tracker.finish_sending()
    tracker.offer(ok("other"))
    assert said(ended(tracker)["a"]) == kept


@pytest.mark.parametrize("code", ["unavailable", "invalid_image"])
def test_an_error_is_an_answer_when_nothing_better_comes(code: str) -> None:
    tracker = RequestTracker()
    tracker.expect("r", picture("a"))
    tracker.offer(error("r", code))
    tracker.finish_sending()
    began = time.monotonic()
    outcome = ended(tracker, 30)["a"]
    assert said(outcome) == code and not outcome.ok and not outcome.missing
    assert time.monotonic() - began < 5, "nobody waits for a better one"


def test_an_answer_that_comes_before_its_request_is_known_is_kept() -> None:
    tracker = RequestTracker()
    tracker.offer(ok("uploads/a#1"))
    tracker.expect("uploads/a#1", picture("a"))
    tracker.finish_sending()
    assert said(ended(tracker)["a"]) == "Bag"


def test_strangers_answers_do_not_fill_the_memory() -> None:
    tracker = RequestTracker()
    for number in range(5000):
        tracker.offer(ok(f"stranger-{number}"))
    tracker.expect("stranger-0", picture("a"))
    tracker.finish_sending()
    assert ended(tracker, 0.01)["a"].missing


def test_the_missing_are_named_after_the_timeout() -> None:
    tracker = RequestTracker()
    tracker.expect("r1", picture("a"))
    tracker.expect("r2", picture("b"))
    tracker.offer(ok("r1"))
    tracker.finish_sending()
    outcomes = ended(tracker, 0.05)
    assert outcomes["a"].ok
    assert outcomes["b"] == Outcome(picture("b"), "r2", problem="no answer within 0.05 s", missing=True)


def test_the_timeout_counts_from_the_last_sent() -> None:
    now = [0.0]
    tracker = RequestTracker(clock=lambda: now[0])
    tracker.expect("r", picture("a"))
    now[0] = 1000.0

    def end() -> None:
        tracker.finish_sending()
        tracker.offer(ok("r"))

    threading.Timer(0.05, end).start()
    outcome = ended(tracker, 1)["a"]
    assert outcome.ok and outcome.ms == 1_000_000


def test_when_the_stream_breaks_the_rest_is_missing_at_once() -> None:
    tracker = RequestTracker()
    tracker.expect("r", picture("a"))
    tracker.give_up("the stream broke")
    assert ended(tracker, 60)["a"].problem == "the stream broke"


def test_a_picture_that_cannot_be_sent_is_not_waited_for() -> None:
    tracker = RequestTracker()
    tracker.expect("r", picture("a"))
    tracker.fail(picture("a"), "no such topic")
    tracker.fail(picture("b"), "no such file")
    tracker.finish_sending()
    outcomes = ended(tracker, 60)
    assert outcomes["a"].problem == "no such topic" and outcomes["b"].problem == "no such file"
    assert not any(outcome.missing or outcome.ok for outcome in outcomes.values())


@pytest.mark.parametrize("answer", [ok("r"), error("r", "invalid_image")])
def test_an_answer_outlives_a_failure_to_hear_that_it_was_sent(answer: Response) -> None:
    tracker = RequestTracker()
    tracker.expect("r", picture("a"))
    tracker.offer(answer)
    tracker.fail(picture("a"), "deadline exceeded")
    tracker.finish_sending()
    assert ended(tracker)["a"].response == answer


def test_stopping_gives_the_errors_that_are_held() -> None:
    tracker = RequestTracker()
    tracker.expect("r", picture("a"))
    tracker.offer(error("r", "invalid_image"))
    assert [said(outcome) for outcome in tracker.stop()] == ["invalid_image"]


def test_stopping_gives_what_was_not_read_and_names_the_unanswered() -> None:
    tracker = RequestTracker()
    tracker.expect("r1", picture("a"))
    tracker.expect("r2", picture("b"))
    tracker.offer(ok("r1"))
    assert [(outcome.request_id, outcome.missing) for outcome in tracker.stop()] == [("r1", False), ("r2", True)]
    assert tracker.stopped


def test_the_crew_sends_everything_and_survives_what_goes_wrong() -> None:
    tracker, pictures = RequestTracker(), [picture(str(number)) for number in range(50)]
    at_once, most = [0], [0]
    lock = threading.Lock()

    def send(each: Picture) -> None:
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

    send_pool.start(pictures, send, tracker, threads=4)
    outcomes = ended(tracker, 10)
    assert len(outcomes) == 50 and most[0] <= 4
    assert [name for name, outcome in outcomes.items() if not outcome.ok] == ["7"]
    assert outcomes["7"].problem == "no such file or directory"


def test_the_crew_stops_when_nothing_more_is_wanted() -> None:
    tracker, sent = RequestTracker(), threading.Event()
    tracker.stop()
    send_pool.start([picture("a")], lambda each: sent.set(), tracker, threads=1)
    assert ended(tracker, 0.2) == {} and not sent.is_set()
