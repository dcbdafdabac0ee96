"""The command collect: writes the responses of a shared subscription to results files, and acks each written one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options
from client.cli.broker_options import place
from client.gcp import Cloud, UsageError

if TYPE_CHECKING:
    from client.results.result_files import Writer
    from functions.messages.contract import Response

_POLL_S = 0.5
"""Seconds of the longest wait, because on some systems a waiting thread does not notice Ctrl-C."""


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    --for or --until-idle ended the command
  1    no more responses can be received, or a file cannot be written
  2    wrong usage
  130  interrupted with Ctrl-C; the rows are complete""",
)
@place
@options.receiving
@options.output
@options.option("--for", "duration", type=options.SECONDS, metavar="S", help="End after S seconds.")
@options.option(
    "--until-idle", "idle", type=options.SECONDS, metavar="S", help="End when no response has arrived for S seconds."
)
def collect(
    response_topic: str,
    subscription: str,
    output: Sequence[Path],
    duration: float | None,
    idle: float | None,
    **place: str,
) -> int:
    """Write every response of a subscription to results files, until Ctrl-C.

    By default this is the subscription that every deployment has: the name of the response topic followed by -sub. With
    Kafka it is the consumer group predictions-collect. A response is acked after its rows are written. Clients that
    share the subscription receive what this one does not.

    \b
    Examples:
      predictions collect --output results.sqlite
      predictions collect --output today.csv --until-idle 30
    """
    from client.results.output import Messages
    from client.results.result_files import open_writers
    from client.transport.broker import broker_of

    if not output:
        raise UsageError("no file is named: give --output FILE")
    messages, broker = Messages(), broker_of(Cloud(response_topic=response_topic, **place))
    broker.check(reads=response_topic)
    name = subscription or broker.shared_responses
    collected = Collected(open_writers(output, messages.show))
    try:
        with broker.responses(
            collected.add, collected.fail, messages.show, subscription=name, all_clients=True
        ) as responses:
            messages.show(f"collecting from {responses.path}; Ctrl-C ends it")
            collected.wait(duration, idle, messages.progress_count)
    finally:
        messages.clear()
        collected.close(messages.show)
        messages.show(f"{collected.count:,} responses collected")
    return 1 if collected.failure else 0


class Collected:
    """Writes responses to files from several threads. A response that cannot be written is an error, and not acked."""

    def __init__(self, writers: Mapping[Path, Writer], clock: Callable[[], float] = time.monotonic) -> None:
        self._writers, self._clock = writers, clock
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.count, self.failure, self._closed = 0, "", False
        self._last_at = clock()

    def add(self, response: Response) -> None:
        """Write a response. Raises OSError when it is not written to every file."""
        from client.results.record import Record
        from client.results.result_files import unwritable

        record = Record.of_response(response)
        with self._lock:
            if self._closed or self.failure:
                raise OSError("the results files are closed")
            for path, writer in self._writers.items():
                try:
                    writer.write(record)
                except OSError as exc:
                    self._end(unwritable(path, exc))
                    raise
            self.count += 1
            self._last_at = self._clock()

    def fail(self, reason: str) -> None:
        """Record that no response can arrive any more."""
        with self._lock:
            self._end(reason)

    def wait(self, duration: float | None, idle: float | None, progress: Callable[[int], None]) -> None:
        """Wait until `duration` seconds are over, none arrived for `idle` seconds, or a failure."""
        began = self._clock()
        while not self._ended.wait(_POLL_S):
            now = self._clock()
            progress(self.count)
            if duration is not None and now - began >= duration:
                return
            if idle is not None and now - max(began, self._last_at) >= idle:
                return

    def close(self, show: Callable[[str], None]) -> None:
        """Complete the files, and report a failure."""
        from client.results.result_files import complete

        with self._lock:
            self._closed = True
            for path, writer in self._writers.items():
                if failure := complete(path, writer):
                    self._end(failure)
            if self.failure:
                show(self.failure)

    def _end(self, reason: str) -> None:
        self.failure = self.failure or reason
        self._ended.set()
