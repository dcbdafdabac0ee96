"""Sends the images of a job: tries again where that helps, and records in the job store what was sent."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from client.images import Image
from client.jobs.event_log import EventLog
from client.jobs.job import Job
from client.results.request_tracker import RequestTracker
from client.text import SendError, plain, printable, shown
from client.transport.base import Sent, Transport

_STEP_S = 0.5
"""Seconds between two looks at whether the command was ended while it waits for the next try."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How often an image is sent when a temporary fault prevents it, and the seconds between two tries."""

    most: int = 1
    every_s: float = 60.0


class JobTransport:
    """A transport that sends through another one. `can_be_repeated`: a fault that may pass prevented an image."""

    def __init__(self, transport: Transport, job: Job, tracker: RequestTracker, tries: Tries, log: EventLog) -> None:
        self._transport, self._job, self._tracker, self._tries, self._log = transport, job, tracker, tries, log
        self.can_be_repeated = False

    @property
    def threads(self) -> int:
        """The number of threads that may call `send` at the same time."""
        return self._transport.threads

    def send(self, image: Image) -> Sent:
        """Send one image, and record that. Raises the error of the last try, and StoreError."""
        self._job.sending(image)
        for number in range(1, self._tries.most + 1):
            sent_at = time.time()
            try:
                sent = self._transport.send(image)
            except FileNotFoundError as exc:
                made = self._job.definition.machine
                if made in ("", socket.gethostname()):
                    raise
                raise SendError(
                    f"no such file on this machine; job {self._job.id} was made on {printable(made)}"
                ) from exc
            except SendError as exc:
                again = exc.temporary and number < self._tries.most
                self._log.write(
                    f"{shown(image)} was not sent, try {number} of {self._tries.most}: {plain(exc)}"
                    + (f"; again in {self._tries.every_s:g} s" if again else "")
                )
                if not again or not self._waited():
                    self.can_be_repeated |= exc.temporary
                    raise
            else:
                self._job.sent(image, sent, sent_at)
                return sent
        raise AssertionError("the last try returns or raises")

    def _waited(self) -> bool:
        """Wait for the next try. Returns False when the command was ended meanwhile."""
        until = time.monotonic() + self._tries.every_s
        while not self._tracker.stopped and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _STEP_S))
        return not self._tracker.stopped
