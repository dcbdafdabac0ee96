"""Results files in Parquet: every column survives, a file is continued, and damage is named and never read as rows."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from client.gcp import UsageError
from client.images import ImageFile
from client.results.record import COLUMNS, NUMBERS, WHOLE_NUMBERS, Record
from client.results.request_tracker import Outcome
from client.results.result_files import open_writer, read_records
from model.labels import Prediction
from tests.conftest import require

FULL = Record(
    file="photos/靴 Füße\n.png",
    request_id="r1",
    status="ok",
    label="=Bag",
    score=0.1 + 0.2,
    predictions=(Prediction("=Bag", 0.1 + 0.2), Prediction('"Coat"', 1e-9)),
    labels=("=Bag", "a\0b"),
    error_code="none",
    error_message="a\0b",
    problem="'",
    client_ms=12.3,
    queue_ms=0.0,
    fetch_ms=1e300,
    decode_ms=5e-324,
    predict_ms=-0.5,
    total_ms=float(2**60),
    delivery_attempt=2**53 + 1,
    model_name="m",
    model_version="1.0",
    model_digest="sha256:" + "a" * 64,
    engine="litert",
    completed_at="2026-11-21T09:30:00.125Z",
    trace_id="ab" * 16,
    features="+ADw",
)


@pytest.fixture(autouse=True)
def _pyarrow() -> None:
    require("pyarrow")


def silent(text: str) -> None:
    raise AssertionError(text)


def written(path: Path, records: list[Record]) -> Path:
    writer = open_writer(path, silent)
    for record in records:
        writer.write(record)
    writer.close()
    return path


def test_every_column_survives_full_and_empty(tmp_path: Path) -> None:
    lacking: list[dict[str, Any]] = [{name: None} for name in (*NUMBERS, *WHOLE_NUMBERS) if name != "score"]
    rows = [FULL, Record(), *(replace(FULL, **each) for each in lacking)]
    assert all(getattr(FULL, name) not in ("", None, ()) for name in COLUMNS), "the first row has every column"
    path = written(tmp_path / "rows.parquet", rows)
    assert list(read_records(path, silent)) == rows


def test_columns_have_their_types_for_other_programs(tmp_path: Path) -> None:
    from pyarrow import parquet

    table = parquet.read_table(written(tmp_path / "rows.parquet", [Record(), FULL]))
    kinds = {name: str(table.schema.field(name).type) for name in COLUMNS}
    assert {name for name, kind in kinds.items() if kind == "double"} == {*NUMBERS}
    assert {name for name, kind in kinds.items() if kind == "int64"} == {*WHOLE_NUMBERS}
    assert set(kinds.values()) == {"double", "int64", "string"}
    assert table["score"].to_pylist() == [None, 0.1 + 0.2]


def test_a_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    record = Record.of_outcome(Outcome(ImageFile(Path("d\udcff.png"), "d"), problem="permission denied"))
    [found] = read_records(written(tmp_path / "rows.parquet", [record]), silent)
    assert found == record and found.file == "d\\udcff.png"


def test_a_file_without_rows_is_read(tmp_path: Path) -> None:
    assert list(read_records(written(tmp_path / "rows.parquet", []), silent)) == []


def test_many_rows_keep_their_order(tmp_path: Path) -> None:
    rows = [Record(request_id=f"r{number}") for number in range(25_000)]
    assert list(read_records(written(tmp_path / "rows.parquet", rows), silent)) == rows


def test_a_later_command_adds_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.parquet", [FULL])
    adding = open_writer(path, silent)
    adding.write(Record(request_id="r2"))
    assert list(read_records(path, silent)) == [FULL], "the file is written whole, at the end"
    adding.close()
    assert list(read_records(path, silent)) == [FULL, Record(request_id="r2")]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rows.parquet", "rows.parquet.rows.jsonl"]


def test_a_file_without_its_rows_is_not_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.parquet", [FULL])
    (tmp_path / "rows.parquet.rows.jsonl").unlink()
    with pytest.raises(UsageError, match=r"exists without rows\.parquet\.rows\.jsonl, so nothing can be added"):
        open_writer(path, silent)
    assert list(read_records(path, silent)) == [FULL]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"dear diary", b"PAR1" + b"\xff" * 100 + b"PAR1"])
def test_another_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.parquet"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"notes\.parquet is no Parquet file, or is damaged") as refused:
        list(read_records(path, silent))
    assert len(str(refused.value)) <= 300 and "\n" not in str(refused.value)


def test_damage_is_refused_and_never_read_as_other_rows(tmp_path: Path) -> None:
    rows = [replace(FULL, request_id=f"r{number}", score=number / 100) for number in range(100)]
    path = written(tmp_path / "rows.parquet", rows)
    whole, choose = path.read_bytes(), random.Random(1)
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # what follows has no checksum
    refused = 0
    for number in range(400):
        place = choose.randrange(len(whole))
        content = whole[:place] + bytes([whole[place] ^ (1 << choose.randrange(8))]) + whole[place + 1 :]
        path.write_bytes(content if number % 4 else whole[:place])
        try:
            found = list(read_records(path, silent))
            assert place >= pages or found == rows, place  # some bytes are not read
        except UsageError as exc:
            assert str(exc).startswith(str(path)) and str(exc).isprintable() and len(str(exc)) <= 300
            refused += 1
    assert refused > 200


def test_a_file_with_other_columns_is_refused_even_without_rows(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "other.parquet"
    for values in ([], ["Bag"]):
        parquet.write_table(pyarrow.table({"label": pyarrow.array(values, pyarrow.string())}), path)
        with pytest.raises(UsageError, match=r"other\.parquet.*: the column file is missing"):
            list(read_records(path, silent))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("score", 1.5, r"score is '1\.5'; it must be a number from 0 to 1"),
        ("label", None, "label is 'None'; it must be text"),
        ("status", "fine", "status is 'fine'; it must be one of"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(column: str, value: object, said: str, tmp_path: Path) -> None:
    from pyarrow import parquet

    path = written(tmp_path / "rows.parquet", [FULL, FULL])
    table = parquet.read_table(path)
    place = COLUMNS.index(column)
    parquet.write_table(table.set_column(place, column, [[getattr(FULL, column), value]]), path)
    with pytest.raises(UsageError, match=rf"rows\.parquet row 2: {said}"):
        list(read_records(path, silent))


@pytest.mark.parametrize("value", [b"2026", datetime(2026, 11, 21, tzinfo=UTC), [1]], ids=str)
def test_a_column_of_another_type_is_refused(value: object, tmp_path: Path) -> None:
    from pyarrow import parquet

    path = written(tmp_path / "rows.parquet", [FULL])
    table = parquet.read_table(path)
    parquet.write_table(table.set_column(COLUMNS.index("completed_at"), "completed_at", [[value]]), path)
    with pytest.raises(UsageError, match=r"rows\.parquet row 1: completed_at is .+; it must be text"):
        list(read_records(path, silent))
