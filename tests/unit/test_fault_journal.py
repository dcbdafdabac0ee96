"""Verdicts of fault runs: losses, conflicts and wrong responses are recognised."""

from __future__ import annotations

import pytest

from functions.messages.contract import Error, Model, Response
from model.labels import Prediction
from tests.fault.journal import RequestJournal, Verdict


def ok(score: float = 0.9, label: str = "Bag") -> Response:
    return Response("r", (Prediction(label, score),))


def refused(code: str) -> Response:
    return Response("r", error=Error(code, "…"))


def verdict(*came: Response, bodies: tuple[bytes, ...] = ()) -> Verdict:
    """The verdict on one request that should get `ok()`."""
    journal = RequestJournal()
    journal.accept("r", ok())
    for number, response in enumerate(came):
        journal.offer(response, bodies[number] if bodies else b"the same")
    return journal.verdict()


def test_a_missing_response_is_lost() -> None:
    found = verdict()
    assert (found.requests, found.answered, found.lost) == (1, 0, 1)


@pytest.mark.parametrize(
    ("came", "conflicting", "wrong"),
    [
        ([ok()], 0, 0),
        ([ok(), ok(0.90005)], 0, 0),
        ([ok(), ok(0.9003)], 1, 0),
        ([ok(), ok(), ok(label="Coat")], 1, 0),
        ([ok(), refused("expired")], 1, 0),
        ([refused("expired"), refused("invalid_image")], 1, 1),
        ([refused("expired"), refused("expired")], 0, 1),
        ([ok(label="Coat")], 0, 1),
    ],
)
def test_two_final_responses_must_be_equal(came: list[Response], conflicting: int, wrong: int) -> None:
    found = verdict(*came)
    assert (found.lost, found.conflicting, found.wrong, found.duplicates) == (0, conflicting, wrong, len(came) - 1)


@pytest.mark.parametrize(
    ("came", "dead"),
    [
        ([refused("unavailable")], 1),
        ([refused("unavailable"), ok()], 0),
        ([ok(), refused("unavailable")], 0),
    ],
)
def test_a_final_response_supersedes_a_dead_letter(came: list[Response], dead: int) -> None:
    found = verdict(*came)
    assert (found.answered, found.dead, found.conflicting, found.wrong) == (1, dead, 0, 0)


def test_copies_that_differ_in_a_byte_are_reported() -> None:
    assert verdict(ok(), ok(), bodies=(b"1", b"2")).unequal == 1
    assert verdict(ok(), ok(), bodies=(b"1", b"1")).unequal == 0


def test_a_response_may_arrive_before_its_request_is_recorded() -> None:
    answered: list[None] = []
    journal = RequestJournal(lambda: answered.append(None))
    journal.offer(ok(), b"")
    journal.accept("r", ok())
    assert journal.wait(0.1) and answered == [None] and journal.verdict().answered == 1


def test_waiting_ends_when_nothing_comes() -> None:
    journal = RequestJournal()
    journal.accept("r", ok())
    assert not journal.wait(0.05)


def test_each_trouble_is_reported() -> None:
    journal = RequestJournal()
    for request_id in ("r", "gone"):
        journal.accept(request_id, ok())
    journal.offer(ok(), b"")
    assert journal.troubles() == ["gone: lost"]
    journal.offer(refused("expired"), b"")
    assert journal.troubles() == ["r: answered Bag 0.9 and expired (…); expected Bag 0.9", "gone: lost"]


def of_model(number: int, label: str) -> Response:
    model = Model("m", f"{number}.0.0", f"sha256:{number}", "litert")
    return Response("r", (Prediction(label, 0.9),), model=model)


@pytest.mark.parametrize(
    ("came", "conflicting", "wrong", "models"),
    [
        ([(1, "Bag"), (2, "Coat")], 0, 0, 2),
        ([(1, "Bag"), (2, "Coat"), (1, "Bag")], 0, 0, 2),
        ([(1, "Coat")], 0, 1, 1),
        ([(1, "Bag"), (2, "Coat"), (1, "Coat")], 1, 0, 2),
        ([(3, "Bag")], 0, 1, 1),
    ],
)
def test_each_model_has_one_answer(came: list[tuple[int, str]], conflicting: int, wrong: int, models: int) -> None:
    journal = RequestJournal()
    journal.accept("r", of_model(1, "Bag"), of_model(2, "Coat"))
    for each in came:
        journal.offer(of_model(*each), b"")
    found = journal.verdict()
    assert (found.conflicting, found.wrong, found.models, found.lost) == (conflicting, wrong, models, 0)
    assert bool(journal.troubles()) == bool(conflicting or wrong)
