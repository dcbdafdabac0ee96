"""Publishing many small messages: in few calls, by threads that stay.

Google's own batching starts a thread for each batch, and whoever publishes waits until it runs: under a full load that
was a third of the time of the threads that score. Messages that come one by one go out at once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

GATHER_S = 0.01
"""From call to call, where several messages come at a time: for so long they may wait for others."""

LONGEST_GATHER_S = 0.05
"""The same while there is more to do, and no longer than that takes: what a call costs is missing there."""

MAX_MESSAGES, MAX_BYTES = 100, 1_000_000
"""Of a call, as Google's own batches have."""

_SENDERS = 4
"""Calls under way at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """One message, and its id once the broker has it. `waited`: somebody stands still until then."""

    data: bytes
    attributes: Mapping[str, str]
    waited: bool = False
    sent: Future[str] = field(default_factory=Future)


class Refused(Exception):
    """The broker will not have one of the messages of a call."""


class Send(Protocol):
    """A call to the broker: gives the messages' ids, in order; blocks. From any thread. Raises Refused."""

    def __call__(self, letters: Sequence[Letter], /) -> Sequence[str]: ...


Backlog = Callable[[], float]
"""Seconds until what waits to be done is done."""


def idle() -> float:
    """Nothing waits."""
    return 0.0


class Outbox:
    """Sends what is put in. Callable from any thread; its own threads end with the process."""

    def __init__(self, send: Send, backlog: Backlog = idle, sleep: Callable[[float], None] = time.sleep) -> None:
        self._send, self._backlog, self._sleep = send, backlog, sleep
        self._letters: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._latest, self._several = -LONGEST_GATHER_S, False
        for number in range(_SENDERS):
            threading.Thread(target=self._run, name=f"outbox-{number}", daemon=True).start()

    def put(self, data: bytes, attributes: Mapping[str, str], *, waited: bool = False) -> Future[str]:
        """Returns at once; the future is done when the broker has the message, or fails.

        `waited`: somebody stands still until then, so it waits for no others.
        """
        letter = Letter(data, attributes, waited)
        self._letters.put(letter)
        return letter.sent

    def _run(self) -> None:
        while True:
            with self._turn:  # one at a time: two would each get half of them
                letters = self._gather()
            self._deliver(letters)

    def _gather(self) -> list[Letter]:
        letters = [self._letters.get()]
        if not letters[0].waited and (self._several or not self._letters.empty()):
            self._wait(GATHER_S)
            self._wait(min(LONGEST_GATHER_S, self._backlog()))
        size = len(letters[0].data)
        while len(letters) < MAX_MESSAGES and size < MAX_BYTES and not self._letters.empty():
            letters.append(self._letters.get())
            size += len(letters[-1].data)
        self._latest, self._several = time.monotonic(), len(letters) > 1
        return letters

    def _wait(self, gather_s: float) -> None:
        early_s = self._latest + gather_s - time.monotonic()
        if early_s > 0:
            self._sleep(early_s)

    def _deliver(self, letters: Sequence[Letter]) -> None:
        try:
            ids = self._send(letters)
        except Refused as exc:
            if len(letters) == 1:
                letters[0].sent.set_exception(exc)
                return
            for letter in letters:
                self._deliver([letter])
        except Exception as exc:
            for letter in letters:
                letter.sent.set_exception(exc)
        else:
            for letter, message_id in zip(letters, ids, strict=True):
                letter.sent.set_result(message_id)
