"""The order in which a job of the page shows what becomes of its images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from client.gcp import Cloud
from client.jobs.job import Job
from client.jobs.store import JobStore
from client.results.record import Record
from client.transport.base import SendOptions
from client.web.page_files import PageFiles
from client.web.run import Run
from client.web.settings import Settings
from functions.messages.contract import Response
from model.labels import Prediction

KEY = "0" * 32


def test_a_response_that_overtakes_the_end_of_the_sending_is_shown_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that sends has read `sent` when the response arrives, and shows it late."""
    shown: list[str] = []
    is_read, may_show = threading.Event(), threading.Event()
    read: Callable[[Job, str], Record | None] = Job.record_of

    def slow(job: Job, key: str) -> Record | None:
        record = read(job, key)
        if threading.current_thread().name == "sender":
            is_read.set()
            may_show.wait(10)
        return record

    settings = Settings(cloud=Cloud("local"))
    files = PageFiles(tmp_path / "files")
    with JobStore(None) as store:
        job = store.create(settings.definition("topic", SendOptions()))
        run = Run(job, settings, files, lambda job, number, key, record: shown.append(record.status))
        run.add(files.image(KEY, "a.png"))
        run.expect(KEY, files.image(KEY, "a.png"))
        job.sending(files.image(KEY, "a.png"))
        monkeypatch.setattr(Job, "record_of", slow)
        sender = threading.Thread(target=run._changed, args=[KEY], name="sender")
        sender.start()
        assert is_read.wait(10)
        receiver = threading.Thread(target=run._receive, args=[Response(KEY, (Prediction("Bag", 0.9),))])
        receiver.start()
        receiver.join(0.2)
        may_show.set()
        sender.join(10)
        receiver.join(10)
    assert shown == ["failed", "failed", "ok"]  # not sent yet, being sent, answered
