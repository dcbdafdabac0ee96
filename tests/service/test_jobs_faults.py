"""Faults around jobs: full disks below the job store, torn results files, and many commands at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from client.jobs.store import JobStore
from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import PROJECT
from tests.service.job_commands import JobCommands, copies, rows_in, rows_of
from tests.waiting import until

pytestmark = pytest.mark.slow

IMAGES = 150


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture(autouse=True)
def photos(samples: Path, tmp_path: Path) -> Path:
    return copies(samples, tmp_path / "photos", IMAGES)


def test_a_full_disk_below_the_store_ends_the_command_and_loses_nothing(jobs: JobCommands) -> None:
    seen = jobs.cli.subscription("seen-full", "req_predict")
    with jobs.start("publish", "photos", most_bytes=240_000) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and err.count("\n") == 1 and len(err) <= 320
    assert "cannot be written" in err and "; then go on with predictions publish --resume " in err
    counts = jobs.counts()
    assert counts and counts.total == IMAGES and counts.answered < IMAGES
    code, _, err = jobs.run("publish", "--resume", "last", "--output", "run.csv")
    assert code == 0 and err.endswith(f"{IMAGES} of {IMAGES} answered\n")
    published = jobs.published(seen)
    assert len(published) == IMAGES and published.total() - IMAGES <= 16
    assert rows_in(jobs.folder / "run.csv") == rows_of(jobs.records())
    jobs.cli.subscriber.delete_subscription(subscription=seen)


def test_a_store_that_is_full_before_the_first_message_sends_nothing(jobs: JobCommands) -> None:
    seen = jobs.cli.subscription("seen-full-2", "req_predict")
    for size in (20_000, 80_000):
        with jobs.start("publish", "photos", most_bytes=size) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode in (1, 2) and not out and err.count("\n") == 1 and "job store" in err
    assert not jobs.published(seen) and jobs.run("jobs")[1] == ""
    jobs.cli.subscriber.delete_subscription(subscription=seen)


def test_rows_that_a_results_file_lacks_are_added_later(jobs: JobCommands) -> None:
    """It ends within a row, as after a full disk."""
    assert jobs.run("publish", "photos", "--output", "run.csv")[0] == 0
    lines = (jobs.folder / "run.csv").read_bytes().splitlines(keepends=True)
    (jobs.folder / "run.csv").write_bytes(b"".join(lines[:50]) + lines[50][:20])
    code, _, _ = jobs.run("wait", "last", "--output", "run.csv")
    assert code == 0 and rows_in(jobs.folder / "run.csv") == rows_of(jobs.records())


def test_many_commands_share_one_new_store(jobs: JobCommands) -> None:
    running = [jobs.start("publish", f"photos/0000{number}.*") for number in range(8)]
    ends = [(process.communicate(timeout=100)[1][-16:], process.returncode) for process in running]
    assert ends == [("1 of 1 answered\n", 0)] * 8
    assert len(jobs.run("jobs", "--json")[1].splitlines()) == 8


def test_a_broker_that_goes_away_is_named_without_a_librarys_words(root: Path, tmp_path: Path, photos: Path) -> None:
    with Twin(worker="pull", project=PROJECT, log_path=tmp_path / "worker.log") as twin:
        env = os.environ | dict(twin.env) | {"PYTHONPATH": str(root), "PREDICTIONS_STATE": str(tmp_path / "jobs.db")}
        command = [sys.executable, "-m", "client", "publish", "photos", "--rate", "10", "--timeout", "3"]
        pipe = subprocess.PIPE
        sending = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True)
        with JobStore(tmp_path / "jobs.db") as store:
            assert until(lambda: any(job.counts().answered >= 5 for job in store.jobs()), 60)
    out, err = sending.communicate(timeout=90)
    assert sending.returncode == 1 and "no answer" in out + err
    own = ("sending stopped: ", "no answer ", "projects/", "to go on: ", "to give up: ", "  ")
    others = [line for line in err.splitlines() if not (line.startswith(own) or line.endswith(" answered"))]
    assert not others and "--resume" in err, err
