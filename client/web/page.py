"""What the page does for its requests: everything but HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from client.gcp import UsageError
from client.jobs.description import describe
from client.jobs.job import Job
from client.jobs.place import open_place
from client.jobs.store import JobStore, default_path
from client.results.record import Record
from client.transport.base import SendOptions
from client.web.events import Events
from client.web.live import STEP_S, WINDOW_S, Live
from client.web.page_files import PageFiles
from client.web.queue_depth import QueueDepth
from client.web.references import References
from client.web.row import to_json
from client.web.run import OnAnswer
from client.web.runs import Runs
from client.web.settings import MAX_DROP_BYTES, MAX_DROP_IMAGES, Settings
from functions.messages.contract import TOP_K_LIMIT

HISTORY = 10_000
"""Rows of the newest jobs that the page shows."""

_JOBS = 200
"""Jobs that the page shows."""


class Page:
    """The page's job store, files and open jobs; a context manager. `state` is the path of the job store."""

    def __init__(self, settings: Settings, state: str | None) -> None:
        """Open the job store. Raises UsageError."""
        if state and "://" in state:
            raise UsageError(f"--state is {state!r}; the page keeps thumbnails next to its job store: name a file")
        if not settings.ways:
            raise UsageError(
                "there is nowhere to send images: set GOOGLE_CLOUD_PROJECT, or give --server (a local twin: "
                'eval "$(predictions up --env)")'
            )
        store = open_place(state or None)
        assert isinstance(store, JobStore)
        path = Path(state) if state else default_path()
        self.settings, self.store = settings, store
        try:
            self.files = PageFiles(path.with_name(f"{path.name}-web"))
        except OSError as exc:
            raise UsageError(f"the folder {path}-web cannot be created: {exc.strerror}") from None
        self.events, self._live = Events(), Live(References(settings.registry, settings.artifact))
        self._runs = Runs(settings, store, self.files, self._row_changed, partial(self.events.tell, "notice"))
        self._queue = QueueDepth(settings, lambda: self.events.is_watched, partial(self.events.tell, "queue"))
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._opened.enter_context(self.store)
        self._opened.enter_context(self._runs)
        self._opened.enter_context(self._queue)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def facts(self) -> dict[str, Any]:
        """Return what the page must know before it sends."""
        return {
            "ways": self.settings.ways,
            "max_bytes": self.settings.max_bytes,
            "max_top_k": TOP_K_LIMIT,
            "max_drop_images": MAX_DROP_IMAGES,
            "max_drop_bytes": MAX_DROP_BYTES,
            "project": self.settings.cloud.project,
            "server": self.settings.url,
        }

    def history(self) -> dict[str, Any]:
        """Return the rows of the newest jobs, at most HISTORY, and the states of the jobs. The newest come first.

        `queue` is the depth of the request queue, see QueueDepth.
        """
        jobs, rows = list[dict[str, Any]](), list[dict[str, Any]]()
        for job in islice(self.store.jobs(), _JOBS):
            jobs.append(describe(job))
            kept = self.files.kept(job.id)
            found = list(islice(enumerate(job.records(), 1), HISTORY - len(rows)))
            rows += [to_json(job, number, each, kept.get(number, frozenset())) for number, each in found[::-1]]
            if len(rows) >= HISTORY:
                break
        return {"jobs": jobs, "rows": rows, "queue": self._queue.latest}

    def send(
        self, way: str, options: SendOptions, key: str, name: str, on_answer: OnAnswer | None = None
    ) -> dict[str, Any]:
        """Send an image whose file is there. Raises UsageError, SendError and Google's exceptions."""
        job, number = self._runs.add(way, options, self.files.image(key, name), on_answer)
        return {"key": key, "job": job, "n": number}

    def again(self, job_id: str, numbers: Iterable[int]) -> int:
        """Send images of a job again that could not be sent or got the error `unavailable`. Returns their number.

        Raises like `send`.
        """
        return len(self._runs.again(job_id, numbers))

    def figures(self) -> dict[str, Any]:
        """Return the figures of the last minutes, how many images wait for their response, and the queue's depth."""
        return self._live.figures() | {
            "waiting": self._runs.waiting(),
            "queue": self._queue.latest,
            "queue_depth": self._queue.in_steps(WINDOW_S, STEP_S),
        }

    def _row_changed(self, job: Job, number: int, key: str, record: Record) -> None:
        self._live.take(job.id, number, record)
        self.events.publish(to_json(job, number, record, self.files.kept_of(job.id, number), key))
