"""The file of the job store: what it refuses, and that many processes and threads may use it."""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.__main__ import main
from client.cli.job_options import open_store
from client.gcp import UsageError
from client.jobs.counts import Counts
from client.jobs.database import Database, Unopenable
from client.jobs.definition import Definition, new_job_id
from client.jobs.description import describe
from client.jobs.hold import JobHeld, held
from client.jobs.holder import has_ended, this_process
from client.jobs.job import Job
from client.jobs.store import JobStore, default_path
from client.text import StoreError
from client.transport.base import SendOptions
from tests.job_store import PUBLISH, files, job_of, labelled, send
from tests.waiting import until


def test_a_definition_is_read_as_it_was_written() -> None:
    made = dataclasses.replace(PUBLISH, selection={"paths": ["a\udcff"]}, options=SendOptions(3, "m", 1.5, True))
    assert Definition.from_json(made.to_json()) == made
    for text in ("{}", "[]", "null", '"x"', "{", '{"options": {"top": 1}}', '{"options": {}, "command": 1}'):
        with pytest.raises(ValueError):
            Definition.from_json(text)


def test_later_versions_may_add_to_a_definition() -> None:
    assert Definition.from_json(json.dumps(json.loads(PUBLISH.to_json()) | {"new": 1})) == PUBLISH


def test_a_job_is_found_by_its_id_and_as_the_last(tmp_path: Path) -> None:
    with JobStore(tmp_path / "deep" / "jobs.db") as store:
        with pytest.raises(UsageError, match="there is no job yet"):
            store.find("last")
        first, second = store.create(PUBLISH), store.create(PUBLISH)
        assert store.find("last").id == second.id and [job.id for job in store.jobs()] == [second.id, first.id]
        assert store.find(first.id).definition == PUBLISH
        for unknown, shown in (("\x1b", "\\x1b"), ("\ud800", "\\ud800"), ("x" * 5000, f"{'x' * 79}…")):
            with pytest.raises(UsageError) as refused:
                store.find(unknown)
            assert str(refused.value) == f"no job has the id {shown}; predictions jobs lists them"


def test_the_last_job_is_the_last_also_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with JobStore(None) as store:
        store.create(PUBLISH)
        monkeypatch.setattr(time, "time", lambda: 1.0)
        newest = store.create(PUBLISH)
        assert store.find("last").id == newest.id == next(store.jobs()).id


def test_ids_of_jobs_differ() -> None:
    assert len({new_job_id() for _ in range(2000)}) == 2000


def test_a_job_is_forgotten_with_its_images(tmp_path: Path) -> None:
    with JobStore(tmp_path / "jobs.db") as store:
        job, other = store.create(PUBLISH), store.create(PUBLISH)
        for each in (job, other):
            list(each.add(files(3)))
            each.receive(labelled("early"))
        store.forget(job)
        assert [each.id for each in store.jobs()] == [other.id] and other.counts().total == 3
    with sqlite3.connect(tmp_path / "jobs.db") as database:
        assert [database.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("images", "early")] == [
            (3,),
            (1,),
        ]
    database.close()


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    JobStore(path).__exit__()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=9")
    database.close()
    with pytest.raises(UsageError, match=r"jobs.db is no job store of version 1 \(its version is 9\); name another"):
        JobStore(path)


def test_another_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE cats (name TEXT)")
    database.close()
    with pytest.raises(UsageError, match=r"is no job store of version 1 \(its version is 0\)"):
        JobStore(path)
    database = sqlite3.connect(path)
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("cats",)]
    database.close()


@pytest.mark.parametrize("content", [b"no database", b"x" * 10_000, b"SQLite format 3\0" + b"y" * 5000])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"jobs\.db cannot be used: ") as caught:
        JobStore(path)
    assert not isinstance(caught.value, Unopenable) and len(str(caught.value)) <= 300 + len(str(tmp_path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("words", [["submit", "README.md"], ["publish", "--resume", "last"], ["jobs"]])
def test_a_store_that_cannot_be_opened_is_an_error_where_it_is_needed(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert main(words, {"GOOGLE_CLOUD_PROJECT": "p"}) == 2
    said = capsys.readouterr()
    assert f"the job store {tmp_path}/file/predictions/jobs.db cannot be opened: not a directory" in said.err.lower()
    assert not said.out and said.err.count("\n") == 1


def test_jobs_are_kept_in_memory_where_the_default_file_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with open_store(None, needed=False) as store:
        assert not store.is_kept and store.create(PUBLISH)
    assert capsys.readouterr().err.endswith("; this command cannot be resumed\n")
    with pytest.raises(Unopenable):
        open_store(str(tmp_path / "file" / "jobs.db"), needed=False)
    with pytest.raises(Unopenable):
        open_store(None)


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(Unopenable, match=r"cannot be opened: unable to open database file"):
        JobStore(tmp_path)


def test_the_default_file_is_in_the_users_folder_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_path() == Path("/data/predictions/jobs.db")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_path() == Path.home() / ".local" / "share" / "predictions" / "jobs.db"


def test_what_fails_inside_a_transaction_leaves_nothing() -> None:
    database = Database(None)
    with pytest.raises(KeyboardInterrupt), database.transaction() as connection:
        connection.execute("INSERT INTO jobs (id, created_at, definition) VALUES ('a', 1, '')")
        raise KeyboardInterrupt
    assert database.rows("SELECT * FROM jobs") == []
    written = pytest.raises(StoreError, match="the job store in memory cannot be written: no such table: cats")
    with written, database.transaction() as connection:
        connection.execute("INSERT INTO cats VALUES (1)")
    with pytest.raises(StoreError, match="the job store in memory cannot be read: no such table: cats"):
        database.rows("SELECT * FROM cats")
    database.close()


def test_many_connections_and_threads_write_one_file(tmp_path: Path) -> None:
    path, problems = tmp_path / "jobs.db", []

    def work() -> None:
        try:
            with job_of(files(50), path) as job:
                for _, image in job.unsent():
                    job.receive(labelled(send(job, image)))
                assert job.is_complete()
        except Exception as exc:
            problems.append(exc)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with JobStore(path) as store:
        assert [job.counts().ok for job in store.jobs()] == [50] * 12


def test_a_job_is_not_complete_while_images_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the listing is added between two reads of the store."""
    counts = Job.counts
    with JobStore(None) as store:
        for look in (Job.is_complete, lambda job: describe(job)["state"] == "complete"):
            job = store.create(PUBLISH)
            pages = job.add(files(1001))
            next(pages)
            for _, image in job.unsent():
                job.receive(labelled(send(job, image)))

            def counts_and_rest(job: Job, pages: Iterator[int] = pages) -> Counts:
                found = counts(job)
                list(pages)
                return found

            with monkeypatch.context() as patched:
                patched.setattr(Job, "counts", counts_and_rest)
                assert not look(job)
                list(pages)
            assert job.is_listed and job.counts().waiting == 1 and not look(job)


def test_threads_of_one_job_lose_nothing(tmp_path: Path) -> None:
    with job_of(files(400), tmp_path / "jobs.db") as job:
        unsent, lock = job.unsent(), threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    number, image = next(unsent, (0, None))
                if image is None:
                    return
                job.receive(labelled(send(job, image), f"{number}"))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [record.label for record in job.records()] == [str(number) for number in range(1, 401)]


def test_a_new_job_is_held_by_its_process_and_released(tmp_path: Path) -> None:
    with JobStore(tmp_path / "jobs.db") as store:
        job = store.create(PUBLISH)
        assert job.is_held()
        with held(job, lambda _: None):
            assert job.is_held()
        assert not job.is_held()


@pytest.mark.parametrize(
    ("holder", "until_s", "taken"),
    [
        ("another-machine 1", 60, False),
        ("another-machine 1", -1, True),
        (f"{this_process().rpartition(' ')[0]} 1", 60, False),
        (f"{this_process().rpartition(' ')[0]} {2**22 + 1}", 60, True),
        ("", 60, True),
    ],
)
def test_a_job_is_taken_from_a_command_that_ended(tmp_path: Path, holder: str, until_s: float, taken: bool) -> None:
    path = tmp_path / "jobs.db"
    with job_of(files(1), path) as job:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("UPDATE jobs SET holder = ?, held_until = ?", (holder, time.time() + until_s))
        assert job.is_held() is not taken
        if taken:
            with held(job, lambda _: None):
                pass
        else:
            with pytest.raises(JobHeld, match=f"another command works on job {job.id}"), held(job, lambda _: None):
                pass
            assert database.execute("SELECT holder FROM jobs").fetchone() == (holder,), "it is not released either"
        database.close()


def test_no_process_has_ended_that_cannot_be_looked_at() -> None:
    host = this_process().rpartition(" ")[0]
    assert not any(map(has_ended, (this_process(), f"{host} x", f"{host} {10**30}", "elsewhere 1", "")))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE jobs SET is_cancelled = 1", "the job was cancelled"),
        ("UPDATE jobs SET holder = 'another 1', held_until = 1e12", "another command has taken over the job"),
        ("DELETE FROM jobs", "was removed from the job store"),
        ("DROP TABLE jobs", "the job store .* cannot be read: no such table"),
    ],
)
def test_a_command_learns_that_its_job_is_lost(
    tmp_path: Path, change: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.jobs.hold._RENEW_S", 0.01)
    path = tmp_path / "jobs.db"
    ends: list[str] = []
    with job_of(files(1), path) as job, held(job, ends.append):
        database = sqlite3.connect(path, isolation_level=None)
        database.execute(change)
        database.close()
        until(lambda: ends)
    assert re.search(reason, ends[0])


def test_a_job_that_a_command_works_on_is_not_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "jobs.db"
    with JobStore(path) as store:
        job = store.create(PUBLISH)
        assert main(["jobs", "--forget", job.id, "--state", str(path)], {}) == 2
        assert f"a command works on job {job.id}" in capsys.readouterr().err
        job.release()
        assert main(["jobs", "--forget", job.id, "--state", str(path)], {}) == 0 and not list(store.jobs())


def test_a_new_store_waits_for_the_process_that_creates_it(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    timer.start()
    Database(tmp_path / "jobs.db").close()
    timer.join()
    other.close()
