"""The jobs of the page: one for each way and options, from the first image until no more images come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from client.gcp import UsageError
from client.jobs.job import Job
from client.jobs.responses import check_resumable
from client.jobs.store import JobStore
from client.text import SendError, plain
from client.transport.base import SendOptions
from client.web.page_files import PageFiles, UploadedImage
from client.web.run import OnAnswer, OnRow, Run
from client.web.settings import Settings, is_of_page

log = logging.getLogger(__name__)

_MOST = 8
"""Jobs that are open at the same time: each has a subscription and up to 16 threads."""

_IDLE_S = 60.0
"""Seconds without a new image after which a job whose images are all answered ends."""

_LOOK_S = 2.0
"""Seconds between two looks at the open jobs."""

_AGAIN_S = 10.0
"""Seconds after which a job that lost its connection is connected again."""

_RESUMED = 20
"""The newest jobs of the page that are looked at when it starts."""


class Runs:
    """A context manager, at whose end all jobs are closed. What is not answered goes on at the next start."""

    def __init__(
        self, settings: Settings, store: JobStore, files: PageFiles, on_row: OnRow, show: Callable[[str], None]
    ) -> None:
        self._settings, self._store, self._files, self._on_row, self._show = settings, store, files, on_row, show
        self._changing = threading.Lock()
        self._open: dict[tuple[str, SendOptions], Run] = {}
        self._interrupted: dict[str, float] = {}
        self._recent: list[Job] = []
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="web-jobs", daemon=True)

    def __enter__(self) -> Runs:
        self._recent = [job for job in self._store.jobs() if is_of_page(job)][:_RESUMED]
        self._files.clean({job.id for job in self._store.jobs()})
        self._interrupted = {job.id: 0.0 for job in self._recent if not job.is_cancelled and not job.is_complete()}
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._keeper.join(_AGAIN_S)
        with self._changing:
            for run in self._open.values():
                run.stop()
            for run in self._open.values():
                _close(run)
            self._open.clear()

    def add(
        self, way: str, options: SendOptions, image: UploadedImage, on_answer: OnAnswer | None = None
    ) -> tuple[str, int]:
        """Send an image, unless a job has it already. Returns its job and number.

        Raises UsageError for wrong options, and SendError and Google's exceptions when nothing can be sent.
        """
        definition = self._settings.definition(way, options)
        with self._changing:
            for job in self._recent:
                if known := job.state_of(image.request_id):
                    if known[1] > 1:  # answered for good, and uploaded again because a reply was lost
                        self._files.drop_image(image.request_id)
                    return job.id, job.number_of(image.request_id)
            run = self._open.get((way, options))
            if run is None or run.ended:
                self._make_place()
                run = Run(self._store.create(definition), self._settings, self._files, self._on_row)
                try:
                    run.open()
                except BaseException:
                    self._store.forget(run.job)
                    raise
                self._open[way, options] = run
                self._recent = [run.job, *self._recent][: _RESUMED + _MOST]
            return run.job.id, run.add(image, on_answer)

    def again(self, job_id: str, numbers: Iterable[int]) -> set[int]:
        """Send those images of a job again that could not be sent or got the error `unavailable`; returns them.

        Raises UsageError where the job is not of the page, and like `add`.
        """
        with self._changing:
            run = next((run for run in self._open.values() if run.job.id == job_id and not run.ended), None)
            if run:
                return run.again(numbers)
            job = self._store.find(job_id)
            if not is_of_page(job):
                raise UsageError(
                    f"job {job_id} is not of the page; predictions publish --resume {job_id} sends its rest"
                )
            self._check(job)
            self._make_place()
            run = Run(job, self._settings, self._files, self._on_row)
            sent = run.open(is_resumed=True, chosen=set(numbers))
            self._open[f"resumed {job_id}", job.definition.options] = run
            self._interrupted.pop(job_id, None)
            return sent

    def waiting(self) -> int:
        """Return how many images of the open jobs have no response yet."""
        with self._changing:
            counts = [run.job.counts() for run in self._open.values()]
        return sum(each.waiting + each.unanswered for each in counts)

    def _make_place(self) -> None:
        for key, run in list(self._open.items()):
            if run.ended or (len(self._open) >= _MOST and run.is_idle(0)):
                self._drop(key)
        if len(self._open) >= _MOST:
            raise SendError(f"{_MOST} jobs with other options are not answered yet: wait, or use their options")

    def _drop(self, key: tuple[str, SendOptions]) -> None:
        run = self._open.pop(key)
        _close(run)
        if run.ended:
            self._show(f"job {run.job.id}: {run.ended}")
            self._interrupted[run.job.id] = time.monotonic() + _AGAIN_S

    def _keep(self) -> None:
        """Close the jobs that are idle, and connect those again that were interrupted."""
        while not self._ended.is_set():
            try:
                self._look()
            except Exception as exc:  # such as a full disk; the next look may succeed
                log.warning("jobs of the page: %s", plain(exc))
            self._ended.wait(_LOOK_S)

    def _look(self) -> None:
        with self._changing:
            for key, run in list(self._open.items()):
                if run.ended or run.is_idle(_IDLE_S):
                    self._drop(key)
            due = [job_id for job_id, at in self._interrupted.items() if at <= time.monotonic()]
        for job_id in due:
            if not self._ended.is_set():
                self._resume(job_id)

    def _resume(self, job_id: str) -> None:
        """Go on with a job, or try it again later. One that was cancelled, removed or is held elsewhere is left."""
        with self._changing:
            if self._interrupted.pop(job_id, None) is None:  # sent again meanwhile
                return
            try:
                job = self._store.find(job_id)
                run = Run(job, self._settings, self._files, self._on_row)
                self._check(job)
                run.open(is_resumed=True)
            except UsageError as exc:
                log.info("job %s does not go on: %s", job_id, exc)
            except Exception as exc:
                log.info("job %s does not go on yet: %s", job_id, plain(exc))
                self._interrupted[job_id] = time.monotonic() + _AGAIN_S
            else:
                self._open[f"resumed {job_id}", job.definition.options] = run

    def _check(self, job: Job) -> None:
        """Check that the rest of a job can be sent from here. Raises UsageError."""
        check_resumable(job)
        url = job.definition.url
        if job.definition.command == "predict" and url != self._settings.url:
            raise UsageError(f"job {job.id} was sent to {url}, and this page sends to {self._settings.url or 'topics'}")


def _close(run: Run) -> None:
    try:
        run.close()
    except Exception as exc:  # the other jobs are closed all the same
        log.warning("job %s: %s", run.job.id, plain(exc))
