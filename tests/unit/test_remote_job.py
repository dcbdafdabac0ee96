"""A job in Cloud Storage: what is acked and what counts as sent while uploads are slow, or fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from client.images import ImageFile
from client.jobs import remote_job
from client.jobs.database import Database
from client.jobs.definition import Definition
from client.jobs.job import Job
from client.jobs.job_object import JobObject, holding, is_held
from client.jobs.remote_job import RemoteJob
from client.jobs.store import insert
from client.text import StoreError
from client.transport.base import Sent
from functions.messages.contract import Error, Response
from tests.waiting import until

IMAGES = 1500


class Uploads(JobObject):
    """An object in memory. An upload waits until `may_end` is set; with `problem` it fails."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.metadata, self.problem, self.count = folder, {}, "", 0
        self.may_end, self.begun = threading.Event(), threading.Event()
        self.may_end.set()

    def write(self, path: Path, metadata: Mapping[str, str]) -> None:
        self.begun.set()
        assert self.may_end.wait(60)
        if self.problem:
            raise StoreError(self.problem)
        self.count += 1
        self.metadata = metadata
        (self.folder / "uploaded.db").write_bytes(path.read_bytes())

    def mark(self, metadata: Mapping[str, str]) -> None:
        self.metadata = metadata

    def is_cancelled(self) -> bool:
        return False

    def states(self, job_id: str) -> dict[str, int]:
        """The number of uploaded images in each state."""
        database = Database(self.folder / "uploaded.db", "the upload")
        rows = database.rows("SELECT state, count(*) FROM images WHERE job = ? GROUP BY state", job_id)
        database.close()
        return dict(rows)


@pytest.fixture
def there(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path)


@pytest.fixture
def job(tmp_path: Path, there: Uploads, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteJob]:
    monkeypatch.setattr(remote_job, "_PACE_S", 0.0)
    database = Database(tmp_path / "job.db")
    made = RemoteJob(database, insert(database, Definition(command="publish", described="i", client_id="c")), there)
    made.create()
    for _ in made.add(ImageFile(Path(f"{number}.png"), f"{number}.png", str(number)) for number in range(IMAGES)):
        pass
    made.save()
    yield made
    made.close()


def send(job: Job, number: int) -> None:
    image = ImageFile(Path(f"{number}.png"), f"{number}.png", str(number))
    job.sending(image)
    job.sent(image, Sent(str(number), ""), 0.0)


def test_sending_goes_on_during_an_upload_and_stops_before_1000_messages(job: RemoteJob, there: Uploads) -> None:
    numbers = iter(range(IMAGES))
    sent = [0]
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            send(job, number)
            with lock:
                sent[0] += 1

    there.begun.clear()
    there.may_end.clear()
    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    assert there.begun.wait(10) and until(lambda: sent[0] > 800)
    before, end = -1, time.monotonic() + 10
    while sent[0] != before and time.monotonic() < end:  # until no thread goes on
        before = sent[0]
        time.sleep(0.5)
    assert there.states(job.id) == {"waiting": IMAGES}
    assert sent[0] < 1000
    there.may_end.set()
    for thread in threads:
        thread.join(10)
    assert sent[0] == IMAGES
    job.release()
    assert there.states(job.id) == {"sent": IMAGES}


def test_a_response_is_acked_after_its_upload(job: RemoteJob, there: Uploads) -> None:
    acks: list[int] = []
    send(job, 1)
    job.receive(Response("1", error=Error("unavailable", "late")))
    job.when_saved(lambda: acks.append(json.loads(there.metadata["description"])["answered"]))
    assert acks == []
    assert job.hold()
    assert acks == [1]
    job.release()


def test_many_responses_do_not_wait_for_the_next_renewal(job: RemoteJob) -> None:
    acks: list[int] = []
    for number in range(450):
        job.receive(Response(str(number), error=Error("unavailable", "late")))
        job.when_saved(partial(acks.append, number))
    assert acks == list(range(400))


def test_an_unchanged_job_is_not_uploaded_again(job: RemoteJob, there: Uploads) -> None:
    before = there.count
    for _ in range(3):
        assert job.hold()
    assert there.count == before
    job.release()
    assert there.metadata["holder"] == "" and there.count == before


def test_after_a_failed_upload_nothing_is_sent_or_acked(job: RemoteJob, there: Uploads) -> None:
    acks: list[int] = []
    job.receive(Response("1", error=Error("unavailable", "late")))
    job.when_saved(lambda: acks.append(1))
    there.problem = "the bucket is on fire"
    with pytest.raises(StoreError, match=r"what was not saved is in /.*job\.db: the bucket is on fire"):
        job.hold()
    there.problem = ""
    with pytest.raises(StoreError, match="on fire"):
        job.sending(ImageFile(Path("2.png"), "2.png", "2"))
    with pytest.raises(StoreError, match="on fire"):
        job.receive(Response("2", error=Error("unavailable", "late")))
    with pytest.raises(StoreError, match="on fire"):
        job.release()
    assert acks == [] and job.has_unsaved


def test_many_error_codes_fit_into_the_metadata(job: RemoteJob, there: Uploads) -> None:
    """Cloud Storage refuses an object with more than 8 KiB of metadata."""
    for number in range(IMAGES):
        job.receive(Response(str(number), error=Error(f"code_{number}", "message")))
    job.save()
    assert sum(len(name) + len(value) for name, value in there.metadata.items()) < 8192
    assert json.loads(there.metadata["description"])["errors"] == {"several": IMAGES}


def test_a_process_that_ended_holds_nothing_on_its_own_machine_alone() -> None:
    """Other machines may have the same host name, and their process ids mean other processes."""
    mine = holding(time.time() + 60)
    host, _, _ = mine["holder"].rpartition(" ")
    assert is_held(mine)
    ended = {**mine, "holder": f"{host} {2**22 + 1}"}  # above the largest process id of Linux
    assert not is_held(ended)
    assert is_held({**ended, "machine": "another one"})
    assert is_held({**ended, "machine": ""})
    assert not is_held({**mine, "held_until": str(time.time() - 1)})
    assert not is_held({**mine, "held_until": "soon"}) and not is_held({})
