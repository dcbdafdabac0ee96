"""Damaged job stores: every command ends with one sentence that names the file, and writes no wrong result."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from client.__main__ import main
from client.jobs.database import Database
from client.text import StoreError
from tests.job_store import PUBLISH, files, job_of, labelled, send

PROJECT = {"GOOGLE_CLOUD_PROJECT": "p"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a complete job of 60 images."""
    path = tmp_path / "jobs.db"
    with job_of(files(60), path) as job:
        for _, image in job.unsent():
            job.receive(labelled(send(job, image)))
        job.release()
    return path


def flip(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 50, 2000))):
        data[draw.randrange(len(data))] = draw.randrange(256)


def cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(1, len(data)) :]


def blank(data: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(data)) // 4096 * 4096
    data[start : start + 4096] = bytes(4096)


@pytest.mark.parametrize("damage", [flip, cut, blank])
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_ends_no_command_with_a_traceback(
    path: Path, damage: Callable[[bytearray, random.Random], None], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(path.read_bytes())
    damage(data, random.Random(seed))
    path.write_bytes(data)
    output = path.with_name("run.csv")
    for words in (["jobs"], ["wait", "last", "--timeout", "0.1", "--output", str(output)], ["status", "last"]):
        code = main([*words, "--state", str(path)], PROJECT)
        said = capsys.readouterr().err
        assert code in (0, 1, 2) and "Error" not in said and len(said) <= 600
        assert code == 0 or "job store" in said or "no responses were received" in said or "no job" in said, said
        assert "run.csv cannot be written" not in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE jobs SET definition = '{'", ["jobs"]),
        ("UPDATE jobs SET definition = '[1]'", ["status", "last"]),
        ("UPDATE images SET record = '{}'", ["wait", "last"]),
        ("UPDATE images SET record = '{'", ["wait", "last", "--output", "OUT/run.csv"]),
        ("UPDATE images SET location = 'x'", ["wait", "last"]),
        ("UPDATE images SET record = CAST(x'7b22ff' AS TEXT)", ["wait", "last", "--output", "OUT/run.csv"]),
    ],
)
def test_damaged_values_are_reported_with_the_file(
    path: Path, change: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(change)
    database.close()
    named = [word.replace("OUT", str(path.parent)) for word in words]
    assert main([*named, "--state", str(path)], PROJECT) == 1
    said = capsys.readouterr().err
    assert f"predictions {words[0]}: the job store {path} " in said and said.count("\n") == 1


def test_a_job_without_images_is_not_complete() -> None:
    with job_of([], made=PUBLISH) as job:
        assert job.is_listed and not job.is_complete()


def test_a_store_whose_log_is_gone_is_still_a_store(tmp_path: Path) -> None:
    """SQLite's -wal file holds the last writes while a process runs. Without it they are lost, and no more."""
    path = tmp_path / "jobs.db"
    with job_of(files(3), path) as job:
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes())
        try:
            database = Database(copy)
        except StoreError as exc:
            pytest.fail(str(exc))
        assert len(database.rows("SELECT * FROM jobs")) <= 1
        database.close()
        assert job.counts().total == 3
