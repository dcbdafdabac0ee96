"""Output of the client: escaped, aligned and in the right order."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from client.__main__ import main
from client.cli.watch import line
from client.images import ImageFile
from client.results.output import JsonLines, Messages, RequestIds, Row, show_records, show_rows
from client.results.output import rows as rows_of
from client.results.record import Record
from client.results.request_tracker import Outcome
from client.text import SendError, plain, printable
from functions.messages.contract import Error, Response, Source
from model.labels import Prediction

EVIL = "[red]x\x1b[31m\ny\u202e\udcff.png"


def outcome(path: str, response: Response | None = None, problem: str = "") -> Outcome:
    return Outcome(ImageFile(Path(path), path), "r1", response, problem, 12.34)


def rows(shown: Outcome, all_labels: bool = False) -> list[Row]:
    return rows_of(Record.of_outcome(shown), all_labels)


def test_printable_leaves_nothing_that_moves_a_cursor() -> None:
    assert printable(EVIL) == "[red]x\\x1b[31m\\ny\\u202e\\udcff.png"
    assert printable("Füße 靴.png") == "Füße 靴.png"


def test_plain_is_one_line() -> None:
    assert plain(FileNotFoundError(2, "No such file or directory")) == "no such file or directory"
    assert plain(SendError("it is large")) == "it is large"
    assert plain(ValueError("one\ntwo")) == "ValueError: one"
    assert plain(ValueError()) == "ValueError"
    assert len(plain(ValueError("x" * 5000))) <= 300


def test_plain_names_the_cause_of_a_retry_error() -> None:
    from google.api_core.exceptions import RetryError, ServiceUnavailable

    assert plain(RetryError("Timeout of 20s exceeded", ServiceUnavailable("no route"))) == (
        "ServiceUnavailable: no answer"
    )


def _google_errors() -> list[Exception]:
    import grpc
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import DefaultCredentialsError

    secret = '{"error": {"code": 404, "message": "LONG", "errors": []}}' * 200
    kinds = [each for each in vars(exceptions).values() if isinstance(each, type)]
    calls = [kind(secret) for kind in kinds if issubclass(kind, exceptions.GoogleAPICallError)]
    return [*calls, grpc.RpcError(secret), requests.ConnectionError(secret), DefaultCredentialsError(secret)]


@pytest.mark.parametrize("exc", _google_errors(), ids=lambda exc: type(exc).__name__)
def test_no_message_of_a_library_is_passed_on(exc: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "client")
    said = plain(exc, "the bucket b")
    assert "LONG" not in said and said.isprintable() and len(said) <= 300 and ": " in said
    assert "LONG" in caplog.text, "--debug shows it"


def test_many_paths_without_an_image_are_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", *(f"{'no' * 200}{number}" for number in range(5000)), "--url", "http://w"], {}) == 2
    said = capsys.readouterr().err
    assert said.endswith("and 4,997 more\n") and said.count("\n") == 1 and len(said) < 500


def test_the_first_lines_are_shown_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Messages().show_first([f"file {number}" for number in range(50_000)], "; see FILE")
    shown = capsys.readouterr().err.splitlines()
    assert shown == [*(f"file {number}" for number in range(10)), "  and 49,990 more; see FILE"]
    Messages().show_first(["a"] * 10)
    assert capsys.readouterr().err == "a\n" * 10


def test_rows_show_prediction_or_problem_and_latency() -> None:
    both = Response("r1", (Prediction("Bag", 0.9), Prediction("Coat[b]", 0.05)))
    assert rows(outcome("a.png", both)) == [("a.png", "Bag", "0.9000", "12")]
    assert rows(outcome("a.png", both), all_labels=True)[1:] == [("", "Coat[b]", "0.0500", "")]
    failed = Response("r1", error=Error("expired", "too\nlate"))
    assert rows(outcome("a.png", failed)) == [("a.png", "expired: too\\nlate", "", "12")]
    assert rows(outcome("a.png", problem="no answer")) == [("a.png", "no answer", "", "")]
    assert rows(outcome("a.png", Response("r1"))) == [("a.png", "no label", "", "12")]


def test_the_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        Record.of_outcome(outcome("a.png", Response("r", (Prediction("T-shirt/top", 1.0),)))),
        Record.of_outcome(outcome("long name.png", Response("r", (Prediction("Coat", 0.5),)))),
    ]
    show_records(lambda: records, all_labels=False, total=2)
    assert capsys.readouterr().out.splitlines() == [
        "file           label         score  ms",
        "a.png          T-shirt/top  1.0000  12",
        "long name.png  Coat         0.5000  12",
    ]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_images_of_each_model_are_counted_where_several_answered(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    old, new = (Record(status="ok", label="Coat", score=0.5, model_name="m", model_version=text) for text in "12")
    lost = Record(status="error", error_code="expired", model_name="m", model_version="2")
    assert show_records(lambda: [old] * 2_000 + [new, lost], False, 2_002) == "answered by m 1: 2,000, m 2: 1"
    assert show_records(lambda: [old] * 2, False, 2) == ""


def test_a_terminal_gets_counts_where_the_table_would_be_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    coat, bag = (Record(file="x", status="ok", label=label, score=0.5) for label in ("Coat", "Bag"))
    failed = Record(file="x", status="error", error_code="expired")
    records = [coat] * 600 + [bag] * 400 + [failed]
    show_records(lambda: records, all_labels=False, total=len(records))
    assert len(capsys.readouterr().out.splitlines()) == 1002
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_records(lambda: records, all_labels=False, total=len(records))
    shown = capsys.readouterr().out
    assert [line.split()[1::2] for line in shown.splitlines() if "│" in line] == [
        ["Coat", "600", "0.5000"],
        ["Bag", "400", "0.5000"],
        ["expired", "1", "│"],
    ]


def test_the_table_of_a_terminal_takes_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    show_rows(rows(outcome(EVIL, Response("r", (Prediction("[bold]Bag", 0.5),)))))
    out = capsys.readouterr().out
    assert "[red]x\\x1b[31m\\ny" in out and "[bold]Bag" in out and "┃" in out
    assert "\x1b[31m" not in out


def test_json_lines_are_one_line_of_ascii_each(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonLines()
    view.add(outcome(EVIL, Response("r1", (Prediction("Füße", 0.5),))))
    view.add(outcome("b.png", problem="no answer"))
    out = capsys.readouterr().out
    assert out.isascii()
    first, second = map(json.loads, out.splitlines())
    assert first["file"] == EVIL and first["response"]["predictions"] == [{"label": "Füße", "score": 0.5}]
    assert first["request_id"] == "r1" and first["problem"] is None and first["ms"] == 12.3
    assert second["response"] is None and second["ms"] is None and second["problem"] == "no answer"


def test_request_ids_are_those_of_sent_images(capsys: pytest.CaptureFixture[str]) -> None:
    view = RequestIds()
    view.add(outcome(EVIL))
    view.add(outcome("b.png", problem="no such topic"))
    assert capsys.readouterr().out == f"r1\t{printable(EVIL)}\n"


def test_a_watched_response_is_one_line() -> None:
    response = Response("r1", (Prediction("Bag", 0.5),), source=Source(EVIL), completed_at="2026-11-21T09:30:00Z")
    assert line(response) == f"2026-11-21T09:30:00Z  {printable(EVIL)}  Bag 0.5000"
    assert line(Response("r1", error=Error("expired", "late"))) == "  r1  expired: late"
