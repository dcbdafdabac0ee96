"""Results files that several processes open at the same time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from client.__main__ import main
from client.results.result_files import read_records
from tests.conftest import require

_WRITE = """
import sys
from pathlib import Path
from client.results.record import Record
from client.results.result_files import open_writer
print("ready", flush=True)
input()
writer = open_writer(Path(sys.argv[1]), print)
for number in range(int(sys.argv[3])):
    writer.write(Record(file="a\\n" * 1000, request_id=f"{sys.argv[2]}-{number}"))
print("written", flush=True)
input()
writer.close()
"""


class Writing:
    """A process that writes rows at the first line of its input, and ends at the second."""

    def __init__(self, root: Path, path: Path, name: str, rows: int) -> None:
        command = [sys.executable, "-c", _WRITE, str(path), name, str(rows)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=root, text=True, **pipes)  # type: ignore[call-overload]
        assert self.process.stdout.readline() == "ready\n"

    def tell(self) -> None:
        print(file=self.process.stdin, flush=True)

    def await_rows(self) -> None:
        assert self.process.stdout.readline() == "written\n", self.process.stderr.read()


@contextmanager
def writing(root: Path, path: Path, name: str, rows: int) -> Iterator[Writing]:
    made = Writing(root, path, name, rows)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def silent(text: str) -> None:
    raise AssertionError(text)


def ids(path: Path) -> list[str]:
    return [record.request_id for record in read_records(path, silent)]


@pytest.mark.parametrize("name", ["run.csv", "run.jsonl", "labelstudio.json"])
def test_a_second_command_is_refused_at_once_and_readers_are_not(
    name: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    rows = path.with_name(f"{name}.rows.jsonl") if name.endswith(".json") else path
    collect = ["collect", "--project", "p", "--output", str(path)]
    with writing(root, path, "first", 50) as first:
        first.tell()
        first.await_rows()
        assert main(collect, {}) == 2
        err = capsys.readouterr().err
        assert f"another command is writing {rows}; wait for its end, or choose another name" in err
        assert err.count("\n") == 1
        assert main(["results", "find", "first-7", "--in", str(rows)], {}) == 0
        assert ids(rows) == [f"first-{number}" for number in range(50)]
        first.process.kill()
        first.process.wait()
        with writing(root, path, "second", 5) as second:
            second.tell()
            second.await_rows()
        assert ids(rows)[50:] == [f"second-{number}" for number in range(5)]


@pytest.mark.parametrize("name", ["run.csv", "run.jsonl"])
def test_of_commands_that_start_together_one_writes(name: str, root: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    with writing(root, path, "a", 300) as first, writing(root, path, "b", 300) as second:
        for each in (first, second):
            each.tell()
        said = [each.process.stdout.readline() for each in (first, second)]
        assert sorted(said) == ["", "written\n"]
        refused = (first, second)[said.index("")]
        assert "another command is writing" in refused.process.stderr.read()
        winner = "ab"[said.index("written\n")]
    assert ids(path) == [f"{winner}-{number}" for number in range(300)]


@pytest.mark.parametrize("name", ["run.parquet", "labelstudio.json"])
def test_a_killed_command_loses_no_row_of_a_file_that_is_written_whole(name: str, root: Path, tmp_path: Path) -> None:
    path, rows = tmp_path / name, tmp_path / f"{name}.rows.jsonl"
    if name.endswith(".parquet"):
        require("pyarrow")
    with writing(root, path, "killed", 20) as first:
        first.tell()
        first.await_rows()
    assert not path.exists() and len(ids(rows)) == 20
    with rows.open("ab") as file:
        file.write(b'{"file":"half a ro')
    with writing(root, path, "next", 3) as second:
        second.tell()
        assert second.process.stdout.readline() == f"{rows}: the last row was incomplete and was dropped\n"
        second.await_rows()
        second.tell()
        assert second.process.wait(60) == 0
    wanted = [*(f"killed-{number}" for number in range(20)), *(f"next-{number}" for number in range(3))]
    assert ids(rows) == wanted
    if name.endswith(".parquet"):
        assert ids(path) == wanted
    else:
        assert path.read_text() == "[]\n", "no row has a label"


@pytest.mark.parametrize("attempt", range(4))  # which command creates the table is a matter of chance
def test_several_commands_write_one_sqlite_file_and_lose_nothing(attempt: int, root: Path, tmp_path: Path) -> None:
    path, count = tmp_path / "run.sqlite", 300
    with writing(root, path, "a", count) as first, writing(root, path, "b", count) as second:
        for each in (first, second):
            each.tell()
        for each in (first, second):
            each.await_rows()
    found = ids(path)
    for name in "ab":
        assert [each for each in found if each.startswith(name)] == [f"{name}-{number}" for number in range(count)]
    assert len(found) == 2 * count
