"""What the jobs of the Python API do in the job store and on the topics, with and without asyncio."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from client import emulators
from client.api.errors import PredictionsError
from client.api.job_status import JobStatus
from client.api.result import Result
from client.api.stop import Stop
from client.gcp import UsageError
from client.jobs import waiting
from client.jobs.definition import Definition
from client.jobs.event_log import EventLog
from client.jobs.hold import held
from client.jobs.job import Job
from client.jobs.job_run import JobRun
from client.jobs.job_transport import JobTransport, Tries
from client.jobs.listing import left_out, list_images, named, no_image, rest_of_listing, source_of
from client.jobs.place import Store, open_place
from client.jobs.responses import check_resumable
from client.loopback import keep_from_proxies
from client.sources.selection import Selection
from client.sources.source import Source
from client.text import SendError, StoreError, plain, printable
from client.transport.base import send_all
from model.text import shortened

log = logging.getLogger(__name__)

_SENDING_S = 2.0
"""Seconds for which a call that is ended waits for the images that are being sent at this moment."""


def submit(place: str, made: Definition, paths: list[str], start: Callable[[str], None], stop: Stop) -> str:
    """Make a job and send its images; `start` gets its id before. Returns the id. Raises PredictionsError."""
    with _store(place) as store:
        emulators.check_answers(emulators.PUBSUB, *([emulators.STORAGE] if made.bucket else []))
        source = source_of(made, Selection(paths))
        run = JobRun(store.create(made), source, log.warning)
        with held(run.job, run.tracker.abort):
            _list(store, run.job, source)
            start(run.job.id)
            _send(run, stop)
            _check_source(store, run.job, source)
        return run.job.id


def resume(place: str, job_id: str, stop: Stop) -> None:
    """Send the images of a job that are not sent. Raises PredictionsError."""
    with _store(place) as store:
        job = store.find(job_id)
        made = job.definition
        if made.command != "publish":
            raise UsageError(f"job {job.id} was made by {made.command}: predictions {made.command} --resume {job.id}")
        check_resumable(job)
        emulators.check_answers(emulators.PUBSUB, *([emulators.STORAGE] if made.bucket else []))
        run = JobRun(job, rest_of_listing(job), log.warning, is_resumed=True)
        with held(job, run.tracker.abort):
            run.let_wait_again()
            _send(run, stop)


def status(place: str, job_id: str) -> JobStatus:
    """Receive the responses that wait, and return the state of a job. Raises PredictionsError."""
    with _store(place) as store:
        job = store.find(job_id)
        waiting.receive_waiting(job, log.warning)
        return JobStatus.of(job)


def wait(place: str, job_id: str, timeout_s: float | None, stop: Stop) -> JobStatus:
    """Wait for the responses to a job, and return its state. Raises PredictionsError."""
    with _store(place) as store:
        job = store.find(job_id)
        problem = waiting.wait(job, log.warning, timeout_s, is_stopped=stop.is_set)
        if problem and not job.is_cancelled:
            raise PredictionsError(problem)
        return JobStatus.of(job)


def cancel(place: str, job_id: str) -> JobStatus:
    """Cancel a job, receive the responses that wait, and return its state. Raises PredictionsError."""
    with _store(place) as store:
        job = store.find(job_id)
        waiting.cancel(job, log.warning)
        return JobStatus.of(job)


def results(place: str, job_id: str) -> Generator[Result, None, None]:
    """Yield the result of each image of a job in their order. Raises PredictionsError."""
    with _store(place) as store:
        for index, record in enumerate(store.find(job_id).records()):
            yield Result.of_record(record, index)


def find(place: str, job_id: str) -> str:
    """Return the id of a job, which may be `last`. Raises PredictionsError."""
    with _store(place) as store:
        return store.find(job_id).id


def job_ids(place: str) -> list[str]:
    """Return the ids of all jobs, the newest first. Raises PredictionsError."""
    with _store(place) as store:
        return [job.id for job in store.jobs()]


@contextmanager
def _store(place: str) -> Iterator[Store]:
    """Open the job store. Errors of the pipeline in the block are raised as PredictionsError."""
    keep_from_proxies(os.environ)
    try:
        with open_place(place) as store:
            yield store
    except UsageError as exc:
        raise PredictionsError(str(exc)) from exc
    except Exception as exc:
        if isinstance(exc, SendError | StoreError) or type(exc).__module__.startswith("google."):
            raise PredictionsError(plain(exc)) from exc
        raise


def _list(store: Store, job: Job, source: Source) -> None:
    """Add the images, except those of a bucket. Removes the job and raises UsageError where a path has no image."""
    list_images(store, job, source)
    if source.problems:
        store.forget(job)
        raise UsageError(shortened(f"nothing was sent: {named(source.problems)}"))


def _send(run: JobRun, stop: Stop) -> None:
    """Send the images, and record the problem of each that cannot be sent. Raises PredictionsError."""
    job, tracker = run.job, run.tracker
    stop.then(lambda: tracker.abort("the call was cancelled"))
    with run.open_topic(os.environ) as transport:
        run.send_lost_again()
        sender = JobTransport(transport, job, tracker, Tries(), EventLog(None, log.warning))
        try:
            for outcome in send_all(sender, run.images(), tracker, 0.0):
                if not outcome.missing:
                    job.end(outcome)
        finally:
            for outcome in tracker.stop(_SENDING_S):
                if not outcome.missing:
                    job.end(outcome)
    reason = tracker.failure or tracker.unsent_reason
    if reason and (job.counts().unsent or not job.is_listed):
        raise PredictionsError(shortened(f"job {job.id} has images that are not sent: {reason}"))


def _check_source(store: Store, job: Job, source: Source) -> None:
    """Report what was found out about the paths while the images were sent. Raises UsageError."""
    if not job.counts().total:
        store.forget(job)
        raise no_image(job, source)
    if others := left_out(source):
        log.warning("left out of %s: %s", printable(job.definition.described), others)
    if source.problems:
        raise UsageError(shortened(f"job {job.id} is sent, without what has no image: {named(source.problems)}"))
