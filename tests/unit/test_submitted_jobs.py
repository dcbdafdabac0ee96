"""Jobs of the Python API: arguments, sending, failures, states, and the work of several threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import pytest

from client import AsyncPredictions, AsyncSubmittedJob, JobStatus, Predictions, PredictionsError, Result, SubmittedJob
from client.api.stop import Stop, in_thread
from client.jobs import waiting
from client.jobs.hold import JobHeld, held
from client.jobs.job import Job
from client.jobs.job_run import JobRun
from client.jobs.responses import Receiver
from client.jobs.store import JobStore
from client.text import SendError
from client.transport.base import Sent
from tests.job_store import PUBLISH, files, job_of
from tests.memory_pipeline import by_content
from tests.unit.test_async_api import soon
from tests.waiting import until

Send = Callable[[JobRun, Any], None]


def answer(run: JobRun, image: Any) -> None:
    """Answer an image by its content."""
    if response := by_content(image):
        run._receive(response)


class Topic:
    """A request topic in memory: `send` gets the run and each image that is sent to it."""

    threads = 2

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.send_: Send = answer

    @contextmanager
    def open(self, run: JobRun) -> Iterator[Any]:
        topic = self

        class Transport:
            threads = topic.threads

            def send(self, image: Any) -> Sent:
                run.tracker.expect(image.request_id, image)
                topic.send_(run, image)
                topic.sent.append(image.filename)
                return Sent(image.request_id, "t")

        yield Transport()


@contextmanager
def nothing_arrives(job: Job, log: object) -> Iterator[Receiver]:
    """Receive from a subscription on which no response arrives."""
    receiver = Receiver(job)
    with held(job, receiver.end):
        receiver.last_at = -1000.0
        yield receiver


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Topic:
    topic = Topic()
    monkeypatch.setattr(JobRun, "open_topic", lambda run, environ: topic.open(run))
    monkeypatch.setattr(waiting, "receiving", nothing_arrives)
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    return topic


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, content in enumerate((b"Bag", b"Coat", b"bad", b"Shirt")):
        (folder / f"{number}.png").write_bytes(content)
    return folder


def test_a_job_is_sent_and_read_again(topic: Topic, photos: Path) -> None:
    started: list[SubmittedJob] = []
    p = Predictions("p")
    job = p.submit(photos, top_k=2, on_start=started.append)
    assert_type(job, SubmittedJob)
    assert started == [job] and sorted(topic.sent) == ["0.png", "1.png", "2.png", "3.png"]
    found = job.status()
    assert_type(found, JobStatus)
    assert (found.job, found.state, found.complete) == (job.id, "complete", True)
    assert (found.images, found.sent, found.answered, found.ok, found.errors) == (4, 4, 4, 3, {"invalid_image": 1})
    assert found.missing == found.not_sent == found.failed == found.expired == 0 and found.all_images_known
    assert abs((datetime.now(UTC) - found.created_at).total_seconds()) < 60
    assert job.wait() == found
    assert_type(next(job.results()), Result)
    assert [(each.index, each.label, each.error) for each in job.results()] == [
        (0, "Bag", ""),
        (1, "Coat", ""),
        (2, "", "invalid_image: a sentence"),
        (3, "Shirt", ""),
    ]
    assert p.job(job.id) == p.job("last") == job and p.jobs() == [job] and repr(job) == f"SubmittedJob('{job.id}')"
    assert hash(job) == hash(p.job("last")) and job != p.submit(photos)


def test_missing_answers_are_never_complete(topic: Topic, photos: Path) -> None:
    topic.send_ = lambda run, image: answer(run, image) if image.filename != "1.png" else None
    found = (job := Predictions("p").submit(photos, expires_in_s=1000)).status()
    assert (found.state, found.complete, found.missing, found.answered, found.expired) == ("waiting", False, 1, 3, 0)
    assert job.wait(0.3).missing == 1
    missing = list(job.results())[1]
    assert (missing.status, missing.ok, missing.error) == ("missing", False, "no answer yet")


def test_a_failure_half_way_leaves_a_job_that_is_resumed(topic: Topic, photos: Path) -> None:
    def fail(run: JobRun, image: Any) -> None:
        if image.filename != "0.png":
            raise SendError("it could not be published: NotFound", for_all=True)
        answer(run, image)

    topic.send_, topic.threads = fail, 1
    p, started = Predictions("p"), list[SubmittedJob]()
    with pytest.raises(PredictionsError) as caught:
        p.submit(photos, on_start=started.append)
    [job] = started
    wanted = f"job {job.id} has images that are not sent: it could not be published: NotFound"
    assert str(caught.value) == wanted
    found = job.status()
    assert (found.state, found.complete, found.sent, found.not_sent) == ("interrupted", False, 1, 3)
    topic.send_ = answer
    p.job("last").resume()
    assert job.status().complete and topic.sent == ["0.png", "1.png", "2.png", "3.png"]
    job.resume()
    assert len(topic.sent) == 4, "nothing is left to do"


def test_an_image_that_cannot_be_read_is_counted(topic: Topic, photos: Path) -> None:
    (photos / "1.png").write_bytes(b"unread")
    found = (job := Predictions("p").submit([photos])).status()
    assert (found.state, found.failed, found.not_sent, found.answered) == ("interrupted", 1, 1, 3)
    assert [each.error for each in job.results()][1] == "it cannot be read"


def test_ctrl_c_ends_the_sending(topic: Topic, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(run: JobRun, image: Any) -> None:
        assert released.wait(10)
        answer(run, image)

    topic.send_ = hang

    def interrupted(*_: object) -> Iterator[None]:
        released.set()
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patched:
        patched.setattr("client.results.request_tracker.RequestTracker.outcomes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Predictions("p").submit(photos)
    job = Predictions("p").job("last")
    job.resume()
    assert job.status().complete and sorted(topic.sent) == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.parametrize(
    ("images", "kind", "message"),
    [
        (b"Bag", TypeError, "images is of the type bytes; a job reads its images again: give a path"),
        ({"a": b"Bag"}, TypeError, "images is of the type dict; a job reads its images again"),
        (3, TypeError, "images is of the type int; a job reads its images again"),
        (
            ["a.png", b"Bag"],
            TypeError,
            "image 1 is of the type bytes; a job reads its images again: write it to a file",
        ),
        ([], ValueError, "images is empty; it must be a path, or an iterable of paths"),
        (["a.png", ""], ValueError, "image 1 is an empty text; it must be the path of an image"),
        ("", ValueError, "image 0 is an empty text"),
    ],
)
def test_what_is_no_path_is_refused(
    topic: Topic, tmp_path: Path, images: Any, kind: type[Exception], message: str
) -> None:
    for call in (Predictions("p").submit, lambda given: asyncio.run(AsyncPredictions("p").submit(given))):
        with pytest.raises(kind, match=message):
            call(images)
    assert not (tmp_path / "jobs.db").exists()


def test_wrong_options_are_refused(topic: Topic, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p = Predictions("p")
    with pytest.raises(ValueError, match="top_k is 0"):
        p.submit(photos, top_k=0)
    with pytest.raises(TypeError, match="state is of the type int; it must be the path of a job store"):
        p.submit(photos, state=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="state is ''"):
        p.jobs(state="")
    with pytest.raises(PredictionsError, match=r"the job store is 's3://x'; it must be a file or gs:"):
        p.jobs(state="s3://x")
    for arguments in ({"url": "http://127.0.0.1:1"}, {"subscription": "own"}):
        with pytest.raises(ValueError, match=f"this client has the argument {next(iter(arguments))}"):
            Predictions(**arguments if "url" in arguments else {"project": "p", **arguments}).submit(photos)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout_s is 0; it must be a number of seconds above 0"):
        p.submit(photos).wait(0)
    assert len(p.jobs()) == 1


def test_paths_without_an_image_are_refused_before_anything_is_sent(topic: Topic, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    p = Predictions("p")
    with pytest.raises(PredictionsError, match=r"^nothing was sent: no image file is at \S+none\.png$"):
        p.submit([photos, str(photos / "none.png")])
    with pytest.raises(PredictionsError, match=r"no image file is at \S+empty"):
        p.submit(tmp_path / "empty")
    assert p.jobs() == [] and not topic.sent
    with pytest.raises(PredictionsError, match="no job has the id none"):
        p.job("none")
    with pytest.raises(PredictionsError, match="there is no job yet"):
        p.job("last")


def test_a_store_that_cannot_be_used(topic: Topic, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 1000)
    with pytest.raises(PredictionsError, match=r"the job store \S+text cannot be used"):
        Predictions("p").submit(photos, state=tmp_path / "text")
    job = Predictions("p").submit(photos)
    with JobStore(tmp_path / "jobs.db") as store:
        store.forget(store.find(job.id))
    for call in (job.status, job.wait, job.cancel, job.resume, lambda: next(job.results())):
        with pytest.raises(PredictionsError, match=f"no job has the id {job.id}"):
            call()


def test_a_relative_store_stays_where_it_was(
    topic: Topic, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = Predictions("p").submit("photos", state="own.db")
    monkeypatch.chdir(photos)
    assert job.status().complete and not os.path.exists("own.db")


def test_jobs_of_other_commands_are_read_but_not_resumed(topic: Topic, tmp_path: Path) -> None:
    with JobStore(tmp_path / "jobs.db") as store:
        made = store.create(type(PUBLISH)(command="upload", described="x", client_id="c", bucket="b"))
        for _ in made.add(files(2)):
            pass
        made.release()
    job = Predictions("p").job("last")
    assert [each.status for each in job.results()] == ["failed"] * 2
    with pytest.raises(PredictionsError, match=f"was made by upload: predictions upload --resume {job.id}"):
        job.resume()


def test_a_cancelled_job_is_not_resumed(topic: Topic, photos: Path) -> None:
    def fail(run: JobRun, image: Any) -> None:
        run.job.cancel()
        raise SendError("it is over", for_all=True)

    topic.send_ = fail
    with pytest.raises(PredictionsError, match="has images that are not sent"):
        Predictions("p").submit(photos)
    job = Predictions("p").job("last")
    assert job.wait().state == "cancelled" and not job.wait().complete
    with pytest.raises(PredictionsError, match="was cancelled; send its images in a new one"):
        job.resume()


def test_two_jobs_are_sent_at_once(topic: Topic, photos: Path) -> None:
    both = threading.Barrier(2)
    topic.threads = 1

    def meet(run: JobRun, image: Any) -> None:
        if image.filename == "0.png":
            both.wait(10)  # raises unless the other job is being sent too
        answer(run, image)

    topic.send_ = meet
    p, jobs = Predictions("p"), list[SubmittedJob]()
    threads = [threading.Thread(target=lambda: jobs.append(p.submit(photos))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(jobs)) == 2 and all(job.status().complete and job.status().answered == 4 for job in jobs)
    assert set(p.jobs()) == set(jobs)


def test_a_job_is_held_by_one_thread(topic: Topic, photos: Path) -> None:
    refused: list[str] = []

    def resume(job: SubmittedJob) -> None:
        with pytest.raises(PredictionsError) as caught:
            job.resume()
        refused.append(str(caught.value))
        assert job.status().state == "running"

    job = Predictions("p").submit(photos, on_start=resume)
    assert refused == [f"another command works on job {job.id}: predictions status {job.id} shows how far it is"]
    with job_of(files(1)) as other:
        with held(other, pytest.fail):
            with pytest.raises(JobHeld), held(other, pytest.fail):
                pass
            assert other.is_held(), "the refused one releases nothing"
        with held(other, pytest.fail):
            pass


def test_a_wait_in_another_thread_looks_on(topic: Topic, photos: Path) -> None:
    found: list[JobStatus] = []
    waits: list[threading.Thread] = []

    def wait(job: SubmittedJob) -> None:
        waits.append(threading.Thread(target=lambda: found.append(job.wait())))
        waits[0].start()

    job = Predictions("p").submit(photos, on_start=wait)
    waits[0].join(10)
    assert [each.job for each in found] == [job.id] and found[0].complete


def test_async_jobs(topic: Topic, photos: Path) -> None:
    async def main() -> None:
        started: list[AsyncSubmittedJob] = []
        p = AsyncPredictions("p")
        job, other = await asyncio.gather(p.submit(photos, on_start=started.append), p.submit([photos / "0.png"]))
        assert_type(job, AsyncSubmittedJob)
        assert started == [job] and (await job.wait()).complete and (await other.wait(5)).images == 1
        assert [each.label async for each in job.results()] == ["Bag", "Coat", "", "Shirt"]
        assert await p.job(job.id) == job and set(await p.jobs()) == {job, other}
        await job.resume()
        assert (await job.cancel()).state == "cancelled" and not (await other.status()).missing
        with pytest.raises(PredictionsError, match="no job has the id none"):
            await p.job("none")

    before = set(threading.enumerate())
    asyncio.run(main(), debug=True)
    assert until(lambda: set(threading.enumerate()) <= before), "a thread was left behind"


def test_a_cancelled_task_ends_the_sending(topic: Topic, photos: Path) -> None:
    is_sending, released, runs = threading.Event(), threading.Event(), list[JobRun]()

    def hang(run: JobRun, image: Any) -> None:
        runs.append(run)
        is_sending.set()
        assert released.wait(10)
        answer(run, image)

    topic.send_, topic.threads = hang, 1

    async def main() -> None:
        p = AsyncPredictions("p")
        task = asyncio.create_task(p.submit(photos))
        assert await soon(is_sending.is_set)
        task.cancel()
        assert await soon(lambda: runs[0].tracker.stopped)
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        job = await p.job("last")
        found = await job.status()
        assert (found.state, found.sent, found.not_sent) == ("interrupted", 1, 3), "what was being sent is waited for"
        await job.resume()
        assert (await job.status()).complete

    asyncio.run(main())
    assert topic.sent == ["0.png", "1.png", "2.png", "3.png"]


def test_a_cancelled_wait_ends(topic: Topic, photos: Path) -> None:
    async def main() -> None:
        with JobStore(Path(os.environ["PREDICTIONS_STATE"])) as store:
            made = store.create(PUBLISH)  # this process holds it, so that `wait` looks on
            for _ in made.add(files(1)):
                pass
            with held(made, pytest.fail):
                job = await AsyncPredictions("p").job(made.id)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await job.wait()

    before = set(threading.enumerate())
    asyncio.run(main())
    assert until(lambda: set(threading.enumerate()) <= before), "the waiting thread was left behind"


def test_work_that_was_stopped_before_it_began_ends_at_once() -> None:
    stop, ended = Stop(), list[str]()
    stop.set()
    stop.then(lambda: ended.append("now"))
    assert ended == ["now"] and stop.is_set()

    def fail(_: Stop) -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        asyncio.run(in_thread(fail))
