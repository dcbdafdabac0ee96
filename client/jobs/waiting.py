"""Waits for the responses of a job, which this process or another one receives."""

from __future__ import annotations

import time
from collections.abc import Callable

from client.gcp import UsageError
from client.jobs.counts import Counts
from client.jobs.hold import JobHeld
from client.jobs.job import Job
from client.jobs.responses import receiving
from client.text import SendError

_IDLE_S = 1.0
"""Seconds without a response after which `receive_waiting` reads no further."""

_POLL_S = 0.2
"""Seconds between two looks at the counts of a job."""


def wait(
    job: Job,
    log: Callable[[str], None],
    timeout_s: float | None = None,
    *,
    show: Callable[[Counts], None] = lambda _: None,
    is_stopped: Callable[[], bool] = bool,
) -> str:
    """Wait until no response is awaited, or none has arrived for `timeout_s` seconds, or `is_stopped` returns True.

    `show` gets the counts at each look. Returns why no more responses can be received, "" where they can. Raises
    UsageError and SendError.
    """
    waiting = _Waiting(job, timeout_s, show, is_stopped)
    while not waiting.is_over(alone=False):
        try:
            with receiving(job, log) as receiver:
                while not receiver.problem and not waiting.is_over(alone=True):
                    time.sleep(_POLL_S)
            return receiver.problem
        except JobHeld:
            time.sleep(_POLL_S)
        except SendError:
            if job.counts().unanswered:
                raise
            break  # another command has received the last response, and deleted the subscription
    return ""


def receive_waiting(job: Job, log: Callable[[str], None]) -> None:
    """Receive the responses that wait for a job; says why where that is not possible."""
    if job.definition.client_id and not job.is_cancelled and not job.is_complete():
        _receive(job, log)


def cancel(job: Job, log: Callable[[str], None]) -> None:
    """Cancel a job, receive the responses that wait, and delete its subscription."""
    job.cancel()
    if job.definition.client_id and not job.is_complete():
        _receive(job, log)


def _receive(job: Job, log: Callable[[str], None]) -> None:
    try:
        with receiving(job, log) as receiver:
            while not receiver.problem and receiver.idle_s < _IDLE_S:
                time.sleep(_POLL_S)
            if receiver.problem:
                log(receiver.problem)
    except JobHeld:
        pass  # that command receives them
    except (UsageError, SendError) as exc:
        log(f"no responses were received: {exc}")


class _Waiting:
    """Shows how far a job is, and knows when waiting for it ends."""

    def __init__(
        self, job: Job, timeout_s: float | None, show: Callable[[Counts], None], is_stopped: Callable[[], bool]
    ) -> None:
        self._job, self._timeout_s, self._show, self._is_stopped = job, timeout_s, show, is_stopped
        self._answered, self._since = -1, time.monotonic()

    def is_over(self, *, alone: bool) -> bool:
        """Whether nothing more is awaited; `alone`: no other command sends images of the job."""
        counts = self._job.counts()
        if counts.answered != self._answered:
            self._answered, self._since = counts.answered, time.monotonic()
        self._show(counts)
        late = self._timeout_s is not None and time.monotonic() - self._since > self._timeout_s
        over = late or self._is_stopped() or self._job.is_cancelled or self._job.is_complete()
        return over or (alone and not counts.unanswered)
