"""Responses with any JSON value in any field are read, or refused with our own message; what is read can be printed."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from client.cli.watch import line
from client.images import ImageFile
from client.results.explanation_files import ExplanationFiles
from client.results.output import JsonLines, Messages, show_records
from client.results.record import Record
from client.results.request_tracker import Outcome
from functions.messages.contract import RESPONSE_LIMIT, Model, Response, decode_response, encode_response
from model.labels import Explanation, Prediction

GOOD: dict[str, Any] = json.loads(
    encode_response(
        Response(
            "r",
            (Prediction("Bag", 0.9), Prediction("Coat", 0.1)),
            model=Model("m", "1", "sha256:" + "0" * 64, "litert"),
            completed_at="2026-11-21T09:30:00.000Z",
            explanation=Explanation("Bag", "occlusion", b"png"),
        )
    )
)
FAILED = GOOD | {"predictions": [], "status": "error", "error": {"code": "expired", "message": "late"}}
Path_ = tuple[str | int, ...]
ABSENT = "\0absent"


def places(body: Any, above: Path_ = ()) -> Iterator[Path_]:
    """Every place in a JSON document, the whole included."""
    yield above
    for key, value in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        yield from places(value, (*above, key))


def changed(body: Any, place: Path_, value: object) -> Any:
    """The document with another value in one place, or nothing there."""
    if not place:
        return value
    made = copy.deepcopy(body)
    holder = made
    for key in place[:-1]:
        holder = holder[key]
    if value == ABSENT:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return made


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ABSENT, "\ud800", "\x1b[31m\n", "x" * 5000, 10**400, -1, 1e308, float("nan"), "ok", "error"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)
PLACES = [(body, place) for body in (GOOD, FAILED) for place in places(body)]


def show(response: Response, folder: Path) -> None:
    """Every way in which the client shows a response."""
    outcome = Outcome(ImageFile(folder / "a.png", "a.png"), "r", response)
    for view in (
        JsonLines(),
        ExplanationFiles(JsonLines(), Messages(), folder),
    ):
        view.add(outcome)
        view.close()
    for all_labels in (False, True):
        show_records(lambda: [Record.of_outcome(outcome)], all_labels, total=1)
    line(response)


@pytest.mark.parametrize("terminal", [False, True])
def test_any_value_in_any_field_is_printed_or_refused(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)

    @settings(max_examples=150 if terminal else 600, deadline=None)
    @given(st.sampled_from(PLACES), values)
    @example((GOOD, ("predictions", 0, "score")), "high")
    @example((GOOD, ("predictions", 0, "score")), float("nan"))
    @example((GOOD, ("predictions", 0, "score")), 10**400)
    @example((GOOD, ("predictions", 0, "label")), 7)
    @example((GOOD, ("predictions",)), None)
    @example((GOOD, ("timing_ms",)), ABSENT)
    @example((GOOD, ("request_id",)), ["r"])
    @example((FAILED, ("error", "message")), {"text": "late"})
    @example((FAILED, ("error",)), ABSENT)
    @example((GOOD, ("explanation", "png")), "ü")
    def check(where: tuple[Any, Path_], value: object) -> None:
        body, place = where
        try:
            response = decode_response(json.dumps(changed(body, place, value)).encode())
        except ValueError as exc:
            assert str(exc) and "Traceback" not in str(exc)
            return
        show(response, tmp_path)
        assert decode_response(encode_response(response)) == response
        capsys.readouterr()

    check()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("predictions", 0, "score"), "0.9", "score is text; it must be a number"),
        (("predictions", 0, "score"), True, "score is true or false; it must be a number"),
        (("predictions", 0, "score"), float("inf"), "score is not a finite number"),
        (("predictions", 1, "label"), 3, "label is a whole number; it must be text"),
        (("predictions",), None, "predictions is null; it must be a list"),
        (("predictions",), {"0": 1}, "predictions is an object; it must be a list"),
        (("timing_ms",), ABSENT, "timing_ms is missing"),
        (("timing_ms", "queue"), [], "queue is a list; it must be a number"),
        (("delivery_attempt",), 1.0, "delivery_attempt is a number; it must be a whole number"),
        (("source", "filename"), 1, "filename is a whole number; it must be text"),
        (("model",), "m", "model is text; it must be an object"),
        (("explanation", "png"), "no base64!", "png is not base64"),
        (("status",), "error", "status is 'error'; with this error it must be ok"),
    ],
)
def test_a_mistyped_field_is_named(place: Path_, value: object, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        decode_response(json.dumps(changed(GOOD, place, value)).encode())
    assert str(refusal.value) == said


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b"x" * (RESPONSE_LIMIT + 1), b"\xff", b"NaN", b"[]"]
)
def test_oversized_and_invalid_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_response(data)


def test_a_long_value_does_not_widen_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    response = Response("r", (Prediction("x" * 900_000, 1e308),))
    record = Record.of_outcome(Outcome(ImageFile(Path("a.png"), "a.png"), "r", response))
    show_records(lambda: [record] * 100, all_labels=True, total=100)
    assert len(capsys.readouterr().out) < 200_000
