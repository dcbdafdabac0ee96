"""Receives the responses of a job that no other command holds, into the job store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from client.emulators import PUBSUB
from client.gcp import UsageError
from client.jobs.definition import current_place
from client.jobs.hold import held
from client.jobs.job import Job
from client.text import StoreError, plain
from client.transport.broker import broker_of
from functions.messages.contract import Response


def check_place(job: Job) -> None:
    """Check that the job's topics are where this process finds topics. Raises UsageError."""
    made, here = job.definition.place, current_place()
    if made not in ("", here):
        raise UsageError(f"job {job.id} was sent to {made}, and this process uses {here}: set or unset {PUBSUB}")


def check_resumable(job: Job) -> None:
    """Check that the rest of a job can be sent from here. Raises UsageError."""
    if job.is_cancelled:
        raise UsageError(f"job {job.id} was cancelled; send its images in a new one")
    check_place(job)


class Receiver:
    """What a block that receives responses knows about them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.last_at, self.problem = time.monotonic(), ""

    @property
    def idle_s(self) -> float:
        """Seconds since the last response."""
        return time.monotonic() - self.last_at

    def take(self, response: Response) -> None:
        """Record a response. Raises StoreError."""
        self.last_at = time.monotonic()
        try:
            self._job.receive(response)
        except StoreError as exc:
            self.end(plain(exc))
            raise

    def end(self, reason: str) -> None:
        """Record why no more responses can be received."""
        self.problem = self.problem or reason


@contextmanager
def receiving(job: Job, log: Callable[[str], None]) -> Iterator[Receiver]:
    """Receive responses during the block. Deletes the job's subscription at its end when the job is done.

    Raises JobHeld while another command holds the job, SendError when the subscription is gone, and UsageError when the
    job's messages are elsewhere or no response was requested.
    """
    definition, receiver = job.definition, Receiver(job)
    if not definition.client_id:
        raise UsageError(f"job {job.id} was sent without a request for responses")
    check_place(job)
    broker = broker_of(definition.cloud)
    broker.check(reads=definition.response_topic)
    responses = broker.responses(
        receiver.take,
        receiver.end,
        log,
        subscription=definition.subscription,
        client_id=definition.client_id,
        keep=lambda: not job.is_cancelled and not job.is_complete(),
        must_exist=True,
        journal=job,
    )
    # Another command may have received the rest meanwhile, and deleted the subscription.
    with held(job, receiver.end), nullcontext() if job.is_complete() else responses:
        yield receiver
