"""Holds a job for one command, so that no other one sends its images or receives its responses at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from client.gcp import UsageError
from client.jobs.job import Job
from client.text import StoreError, plain


class JobHeld(UsageError):
    """Another command works on the job."""


_RENEW_S = 2.0
"""Seconds between two renewals: several of them fit into the time for which a job is held."""

_held_here: set[str] = set()
"""The ids of the jobs that threads of this process hold: in the job store they all have the same name."""

_changing = threading.Lock()


@contextmanager
def held(job: Job, on_end: Callable[[str], None]) -> Iterator[None]:
    """Hold the job during the block. `on_end` is called, from another thread, when the job is cancelled or lost.

    Raises JobHeld while another command, or another thread of this process, does so.
    """
    with _alone_here(job):
        if not job.hold():
            raise _is_held(job)
        with _renewed(job, on_end):
            yield


@contextmanager
def _alone_here(job: Job) -> Iterator[None]:
    """Keep other threads of this process from the job."""
    with _changing:
        if job.id in _held_here:
            raise _is_held(job)
        _held_here.add(job.id)
    try:
        yield
    finally:
        with _changing:
            _held_here.remove(job.id)


def _is_held(job: Job) -> JobHeld:
    return JobHeld(f"{job.held_by()} works on job {job.id}: predictions status {job.id} shows how far it is")


@contextmanager
def _renewed(job: Job, on_end: Callable[[str], None]) -> Iterator[None]:
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_RENEW_S):
            try:
                if job.is_cancelled:
                    on_end("the job was cancelled")
                elif not job.hold():
                    on_end("another command has taken over the job")
            except StoreError as exc:
                on_end(plain(exc))
                return

    renewing = threading.Thread(target=renew, name="hold", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        with suppress(StoreError):  # the error before it is the one to report, and the hold ends with the process
            job.release()
