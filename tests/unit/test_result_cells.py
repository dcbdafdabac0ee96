"""Cells of results files: wrong ones are named with their row, none is a formula, and equal texts are kept once."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from client.gcp import UsageError
from client.results.record import COLUMNS, Record
from client.results.result_files import read_distinct, read_records
from model.labels import Prediction
from tests.unit.test_result_files import FORMATS, answer, rows, unexpected, written


@pytest.mark.parametrize("attempt", [2**63, 10**400])
@pytest.mark.parametrize("name", FORMATS)
def test_a_number_that_no_table_can_hold_is_unknown(name: str, attempt: int, tmp_path: Path) -> None:
    records = [Record.of_response(replace(answer("r1"), delivery_attempt=each)) for each in (2**63 - 1, attempt)]
    found = list(read_records(written(tmp_path / name, records), unexpected))
    assert [record.delivery_attempt for record in found] == [2**63 - 1, 0]


def test_no_cell_of_csv_is_a_formula(tmp_path: Path) -> None:
    starts = ["=1", "+1", "-1", "@a", "\ta", "\ra", "\na", "'=1", "'a"]
    path = written(tmp_path / "rows.csv", [Record(file=start, problem=start) for start in starts])
    with path.open(newline="") as file:
        cells = [row["file"] for row in csv.DictReader(file)]
    assert cells == [f"'{start}" if start != "'a" else "''a" for start in starts]
    assert [record.file for record in read_records(path, unexpected)] == starts


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("score", "1.5", "score is '1.5'; it must be a number from 0 to 1"),
        ("score", "nan", "score is 'nan'"),
        ("total_ms", "fast", "total_ms is 'fast'; it must be a number"),
        ("total_ms", "1" + "0" * 400, "total_ms is '1000"),
        ("delivery_attempt", str(2**63), "delivery_attempt is '9223372036854775808'; it must be a whole number"),
        ("delivery_attempt", "1" + "0" * 400, "delivery_attempt is '1000"),
        ("delivery_attempt", "1.5", "delivery_attempt is '1.5'; it must be a whole number"),
        ("status", "fine", "status is 'fine'; it must be one of ok, error"),
        ("predictions", "{}x", "predictions is"),
        ("predictions", '[{"label":"a","score":1' + "0" * 400 + "}]", "predictions is"),
        ("predictions", '[{"label":"a","score":NaN}]', "predictions is"),
        ("predictions", '[{"label":1,"score":2}]', "predictions is"),
    ],
)
def test_a_wrong_cell_is_named_with_its_row(column: str, value: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    cells = dict.fromkeys(COLUMNS, "") | {"status": "ok", "predictions": "[]", column: value}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow(cells)
    with pytest.raises(UsageError) as refused:
        list(read_records(path, unexpected))
    assert said in str(refused.value) and "rows.csv row 2" in str(refused.value) and len(str(refused.value)) <= 400


def test_a_cell_of_another_type_is_named_with_its_row(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.sqlite", rows()[:2])
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE results SET label = x'ff00' WHERE rowid = 2")
    with pytest.raises(UsageError, match=r"rows\.sqlite row 2: label is .*; it must be text"):
        list(read_records(path, unexpected))


def test_a_csv_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", [Record(file="a.png")])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n"))
    assert [record.file for record in read_records(path, unexpected)] == ["a.png"]


def test_figures_get_the_two_best_predictions_of_a_row(tmp_path: Path) -> None:
    many = replace(answer("r1"), predictions=tuple(Prediction(str(n), 1 / (n + 1)) for n in range(9)))
    path = written(tmp_path / "rows.csv", [Record.of_response(many)])
    [row] = read_distinct([path], unexpected)
    assert row.predictions == many.predictions[:2]
    assert [record.predictions for record in read_records(path, unexpected)] == [many.predictions]


@pytest.mark.parametrize("name", FORMATS)
def test_a_text_that_many_rows_have_is_in_memory_once(name: str, tmp_path: Path) -> None:
    records = [Record.of_response(answer(f"r{number}")) for number in range(2)]
    first, second = read_distinct([written(tmp_path / name, records)], unexpected)
    assert first.model_digest is second.model_digest and first.label is second.label
    assert first.predictions[1].label is second.predictions[1].label
