"""Sending the images of a job: tries, what is recorded, and the file of --log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from client.images import Image
from client.jobs.event_log import EventLog
from client.jobs.job import Job
from client.jobs.job_transport import JobTransport, Tries
from client.results.request_tracker import RequestTracker
from client.text import SendError
from client.transport.base import Sent
from tests.job_store import files, job_of

NO_LOG = EventLog(None, print)


class Failing:
    """A transport that fails with these errors first."""

    threads = 3

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def send(self, image: Image) -> Sent:
        if self.errors:
            raise self.errors.pop(0)
        return Sent(image.request_id, "trace")


def sender(job: Job, transport: Failing, tries: Tries, log: EventLog = NO_LOG) -> JobTransport:
    return JobTransport(transport, job, RequestTracker(), tries, log)


def temporary() -> SendError:
    return SendError("no answer", temporary=True)


def test_what_is_sent_is_recorded() -> None:
    with job_of(files(1)) as job:
        [(_, image)] = job.unsent()
        made = sender(job, Failing(), Tries())
        assert made.send(image) == Sent(image.request_id, "trace") and made.threads == 3
        assert job.counts().unanswered == 1


def test_a_temporary_fault_is_tried_again_and_each_try_is_logged(tmp_path: Path) -> None:
    with job_of(files(1)) as job:
        [(_, image)] = job.unsent()
        log = EventLog(tmp_path / "log", print)
        sender(job, Failing(temporary(), temporary()), Tries(3, 0.01), log).send(image)
        first, second = (tmp_path / "log").read_text().splitlines()
        time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
        assert re.fullmatch(rf"{time} photos/0\.png was not sent, try 1 of 3: no answer; again in 0\.01 s", first)
        assert "try 2 of 3" in second and job.counts().unanswered == 1


@pytest.mark.parametrize(
    ("errors", "most", "left"),
    [
        ([temporary(), temporary(), temporary()], 2, 1),
        ([SendError("it is too large"), temporary()], 5, 1),
        ([FileNotFoundError(2, "No such file"), temporary()], 5, 1),
        ([temporary()], 1, 0),
    ],
)
def test_what_lasts_is_not_tried_again(errors: list[Exception], most: int, left: int) -> None:
    with job_of(files(1)) as job:
        [(_, image)] = job.unsent()
        transport, last = Failing(*errors), errors[len(errors) - left - 1]
        made = sender(job, transport, Tries(most, 0))
        with pytest.raises(type(last)) as caught:
            made.send(image)
        assert made.can_be_repeated is (isinstance(last, SendError) and last.temporary)
        assert caught.value is last and len(transport.errors) == left and job.counts().waiting == 1


def test_an_end_of_the_command_ends_the_tries() -> None:
    with job_of(files(1)) as job:
        [(_, image)] = job.unsent()
        tracker = RequestTracker()
        tracker.stop_sending("enough")
        with pytest.raises(SendError, match="no answer"):
            JobTransport(Failing(temporary()), job, tracker, Tries(2, 1e6), NO_LOG).send(image)


def test_a_log_line_is_one_line_and_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    EventLog(path, print).write("one\ntwo\udcff\x1b[31m")
    before, line = path.read_text().splitlines()
    assert before == "before" and line.endswith(" one\\ntwo\\udcff\\x1b[31m")


def test_a_log_that_cannot_be_written_is_reported_once(tmp_path: Path) -> None:
    said: list[str] = []
    log = EventLog(tmp_path / "no" / "log", said.append)
    log.write("a")
    log.write("b")
    assert said == [f"--log cannot be written to {tmp_path}/no/log: no such file or directory"]
