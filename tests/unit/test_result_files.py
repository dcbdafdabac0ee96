"""Results files: rows survive each format, a torn row is dropped, and other files and damage are named."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from client.gcp import UsageError
from client.images import ImageFile
from client.results.output import JsonLines, Messages
from client.results.record import Record, distinct
from client.results.request_tracker import Outcome
from client.results.result_files import ENDINGS, ResultFiles, open_writer, open_writers, read_distinct, read_records
from functions.messages.contract import Error, Model, Response, Source, Timing
from model.labels import Prediction
from tests.conftest import absent

EVIL = "=cmd|'/c calc'!A0\"\r\n,\t\x1b[31m\u202e靴.png"
MODEL = Model("fashion", "1.0", "sha256:" + "a" * 64, "litert")
FORMATS = ("rows.csv", "rows.jsonl", "rows.sqlite")


def answer(request_id: str, label: str = "Bag", score: float = 0.75) -> Response:
    return Response(
        request_id,
        (Prediction(label, score), Prediction("Coat", 0.125)),
        model=MODEL,
        source=Source("shop/bag.png"),
        timing_ms=Timing(1.5, 0, 2, 3.25, 7),
        delivery_attempt=2,
        completed_at="2026-11-21T09:30:00.125Z",
    )


def rows() -> list[Record]:
    outcomes = [
        Outcome(ImageFile(Path(EVIL), "x"), "r1", answer("r1"), ms=12.345, trace_id="ab" * 16),
        Outcome(ImageFile(Path("b.png"), "b"), "r2", Response("r2", error=Error("invalid_image", "@no\nimage"))),
        Outcome(ImageFile(Path("'-c.png"), "c"), "r3", problem="no answer within 60 s", missing=True),
        Outcome(ImageFile(Path("d\udcff.png"), "d"), problem="permission denied"),
        Outcome(ImageFile(Path("e.png"), "e"), "r5"),
    ]
    return [*map(Record.of_outcome, outcomes), Record.of_response(answer("r6", "-Füße", 1))]


def written(path: Path, records: list[Record]) -> Path:
    writer = open_writer(path, unexpected)
    for record in records:
        writer.write(record)
    writer.close()
    return path


def unexpected(text: str) -> None:
    raise AssertionError(text)


def test_rows_say_what_became_of_an_image() -> None:
    found = rows()
    assert [record.status for record in found] == ["ok", "error", "missing", "failed", "sent", "ok"]
    assert found[0].client_ms == 12.3 and found[0].label == "Bag" and found[0].score == 0.75
    assert (found[0].queue_ms, found[0].predict_ms, found[0].delivery_attempt) == (1.5, 3.25, 2)
    assert found[1].error_code == "invalid_image" and found[1].score is None
    assert found[3].file == "d\\udcff.png", "bytes that UTF-8 lacks are escaped"
    assert found[5].file == "shop/bag.png" and found[5].client_ms is None


@pytest.mark.parametrize("name", FORMATS)
def test_rows_survive_a_file_and_are_equal_byte_for_byte(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / name, rows())
    first = list(read_records(path, unexpected))
    assert first == rows()
    before = path.read_bytes()
    again = written(tmp_path / f"again-{name}", list(read_records(path, unexpected)))
    assert path.read_bytes() == before and again.read_bytes() == before


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_added_to_a_file(name: str, tmp_path: Path) -> None:
    written(tmp_path / name, rows()[:2])
    written(tmp_path / name, rows()[2:])
    assert list(read_records(tmp_path / name, unexpected)) == rows()


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_tear_at_any_byte_costs_one_row(name: str, tmp_path: Path) -> None:
    head = written(tmp_path / f"head-{name}", rows()[1:]).read_bytes()
    whole = written(tmp_path / name, [*rows()[1:], rows()[0]]).read_bytes()
    path = tmp_path / name
    for size in range(len(head) + 1, len(whole)):
        path.write_bytes(whole[:size])
        notes: list[str] = []
        assert list(read_records(path, notes.append)) == rows()[1:] and "incomplete" in notes[0]
        open_writer(path, notes.append).close()
        assert path.read_bytes() == head and "was dropped" in notes[1]


@pytest.mark.parametrize("size", [1, 10, 50])
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_tear_in_the_first_line_costs_no_more(name: str, size: int, tmp_path: Path) -> None:
    whole = written(tmp_path / name, rows()).read_bytes()
    (tmp_path / name).write_bytes(whole[:size])
    writer = open_writer(tmp_path / name, lambda text: None)
    for record in rows():
        writer.write(record)
    writer.close()
    assert (tmp_path / name).read_bytes() == whole


def test_each_row_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    for name in FORMATS:
        writer = open_writer(tmp_path / name, unexpected)
        for number, record in enumerate(rows(), 1):
            writer.write(record)
            assert len(list(read_records(tmp_path / name, unexpected))) == number
        writer.close()


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl", "notes.sqlite"])
@pytest.mark.parametrize("content", [b"dear diary", b"dear,diary\r\n1,2\r\n", b"[1]\n"])
def test_another_file_is_neither_overwritten_nor_read(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=name):
        open_writer(path, lambda text: None)
    assert path.read_bytes() == content
    if content.endswith(b"\n"):
        with pytest.raises(UsageError, match=name):
            list(read_records(path, lambda text: None))


def test_an_sqlite_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.sqlite", rows())
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=1")
    database.close()
    with pytest.raises(UsageError, match="version is 1"):
        open_writer(path, unexpected)
    with pytest.raises(UsageError, match="version is 1"):
        list(read_records(path, unexpected))


def test_label_studio_gets_the_least_certain_first(tmp_path: Path) -> None:
    path = tmp_path / "x.labelstudio.json"
    written(path, [Record.of_response(answer("r1", "Bag", 0.9)), *rows()[1:5]])
    written(path, [Record.of_response(answer("r2", "Coat", 0.4))])
    tasks = json.loads(path.read_bytes())
    assert [task["meta"]["request_id"] for task in tasks] == ["r2", "r1"]
    assert tasks[0]["data"] == {"image": "shop/bag.png"} and tasks[0]["predictions"][0]["score"] == 0.4
    assert tasks[0]["predictions"][0]["result"][0]["value"] == {"choices": ["Coat"]}
    with pytest.raises(UsageError, match=r"x\.labelstudio\.json\.rows\.jsonl"):
        list(read_records(path, unexpected))
    (tmp_path / "x.labelstudio.json.rows.jsonl").unlink()
    with pytest.raises(UsageError, match="nothing can be added"):
        open_writer(path, unexpected)


def test_parquet_without_its_library_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow, which is not installed"):
        open_writer(tmp_path / "x.parquet", unexpected)
    assert not list(tmp_path.iterdir())


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    for ending in ENDINGS:
        with pytest.raises(UsageError, match=ending.replace(".", r"\.")):
            open_writer(tmp_path / "x.xlsx", unexpected)
    with pytest.raises(UsageError, match="twice"):
        open_writers([tmp_path / "a.csv", tmp_path / "a.csv"], unexpected)


def test_a_request_counts_once_and_predictions_win(tmp_path: Path) -> None:
    missing = Record(request_id="r1", status="missing", problem="no answer")
    late = Record.of_response(Response("r1", error=Error("unavailable", "")))
    final = Record.of_response(Response("r1", error=Error("expired", "")))
    ok, failed = Record.of_response(answer("r1")), Record(file="x", status="failed", problem="gone")
    assert distinct([missing, late, final, ok, final, failed, failed]) == [ok, failed, failed]
    assert distinct([final, late]) == [final] == distinct([late, final])
    notes: list[str] = []
    path = written(tmp_path / "rows.csv", [ok, ok])
    assert read_distinct([path, path], notes.append) == [ok] and "3 rows repeat" in notes[0]


def test_a_full_disk_is_reported_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full, good = Path("/dev/full"), tmp_path / "good.csv"
    if not full.exists():
        absent("this system has no /dev/full")
    link = tmp_path / "full.jsonl"
    os.symlink(full, link)
    writers = {good: open_writer(good, unexpected)}
    from client.results import result_files, text_files

    monkeypatch.setattr(text_files.TextWriter, "_repair", lambda *_: None)
    writers[link] = result_files.open_writer(link, unexpected)
    files = ResultFiles(JsonLines(), writers, Messages())
    for number in range(3):
        files.add(Outcome(ImageFile(Path("a.png"), "a.png"), f"r{number}", answer(f"r{number}")))
    files.close()
    err = capsys.readouterr().err
    assert files.failed and err.count("no space left on device") == 1 and "full.jsonl lacks 3 rows" in err
    assert len(list(read_records(good, unexpected))) == 3


def test_a_reader_of_sqlite_blocks_no_writer(tmp_path: Path) -> None:
    records = [Record(request_id=f"r{number}") for number in range(3000)]
    path = written(tmp_path / "rows.sqlite", records)
    reading = read_records(path, unexpected)
    found = [next(reading) for _ in range(1500)]
    written(path, [Record(request_id="meanwhile")])
    assert [*found, *reading] == [*records, Record(request_id="meanwhile")]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "labelstudio.json"])
def test_a_file_is_written_by_one_command_at_a_time(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    first = open_writer(path, unexpected)
    with pytest.raises(UsageError, match=rf"another command is writing .*{name}.*; wait for its end, or choose"):
        open_writer(path, unexpected)
    first.write(rows()[0])
    first.close()
    written(path, rows()[1:])


def test_a_file_that_cannot_be_locked_is_written_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="this system has no locks that readers pass")

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    notes: list[str] = []
    writer = open_writer(tmp_path / "rows.csv", notes.append)
    writer.write(rows()[0])
    writer.close()
    assert list(read_records(tmp_path / "rows.csv", unexpected)) == rows()[:1]
    assert len(notes) == 1 and "rows.csv cannot be locked (operation not supported); no other command may" in notes[0]
