"""Moves messages from a source to a target: a batch is confirmed to the source after the target has it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from client.bridge.message import Message, Source, Target
from client.gcp import CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S
from client.text import SendError, brief, plain

_CONFIRM_S = UPLOAD_TIMEOUT_S + CALL_TIMEOUT_S
"""Seconds until the target must have confirmed a message."""


@dataclass(slots=True)
class Moved:
    """Counts of messages: moved, left out because they came from the target, and skipped because it refused them."""

    count: int = 0
    returned: int = 0
    refused: int = 0


class Pump:
    """Moves messages of one kind, `what` in the plural, until `stop` is set or none came for `idle_s` seconds.

    Without `skips_refused`, a message that the target never takes is an error; with it, `log` names the message.
    """

    def __init__(
        self,
        what: str,
        source: Source,
        target: Target,
        stop: threading.Event,
        log: Callable[[str], None],
        *,
        idle_s: float | None,
        skips_refused: bool,
    ) -> None:
        self.what, self.moved, self.failure = what, Moved(), ""
        self._source, self._target, self._stop, self._log = source, target, stop, log
        self._idle_s, self._skips_refused = idle_s, skips_refused

    def run(self) -> None:
        """Move messages. An error ends that, and is kept in `failure`; the batch in which it occurred comes again."""
        try:
            with self._source as source, self._target as target:
                self._log(f"moving {self.what}; Ctrl-C ends it")
                moved_at = time.monotonic()
                while not self._stop.is_set():
                    if batch := source.batch():
                        self._move(batch, source, target)
                        moved_at = time.monotonic()
                    elif self._idle_s is not None and time.monotonic() - moved_at >= self._idle_s:
                        return
        except Exception as exc:
            self.failure = plain(exc)
            self._stop.set()

    def _move(self, batch: list[Message], source: Source, target: Target) -> None:
        sent = list[tuple[Message, Future[str]]]()
        for each in batch:
            if each.came_from(target.place):
                self.moved.returned += 1
                continue
            try:
                sent.append((each, target.publish(each.moved_from(source.place))))
            except Exception as exc:
                self._refused(target, each, exc)
        for each, published in sent:
            try:
                published.result(_CONFIRM_S)
            except Exception as exc:
                self._refused(target, each, exc)
            else:
                self.moved.count += 1
        source.confirm()

    def _refused(self, target: Target, message: Message, exc: Exception) -> None:
        """Skip a message, where the target refuses it and that is allowed. Raises SendError otherwise."""
        failed = target.failed(exc, message)
        name = f"message {brief(message.name)} (request {brief(message.key)})"
        is_refused = target.refuses(exc)
        if not (is_refused and self._skips_refused):
            hint = "; --skip-refused leaves such messages out" if is_refused else ""
            raise SendError(f"{name}: {failed}{hint}") from exc
        self._log(f"skipped: {name}: {failed}")
        self.moved.refused += 1
