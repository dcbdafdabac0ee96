"""The pull door: the same service, fed by StreamingPull. Run it with `python -m functions.worker`.

The pipe is kept full: a message is acked in the callback of its response's future while the next images are scored.
On SIGTERM the worker finishes what it is scoring, hands back the rest and ends, within Cloud Run's 10 s.
"""

from __future__ import annotations

import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Protocol

from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

from functions import bootstrap, events
from functions.contract import Envelope, Response
from functions.service import PUBLISH_TIMEOUT_S, ResponsePublisher, Service, log_outcome
from functions.settings import Settings, SettingsError
from model.artifact import ArtifactError

log = logging.getLogger("functions.worker")  # by name: under -m, __name__ is __main__, whose logs nobody shows

LEASE_S = 20
"""How long the broker waits for a worker that died; one that lives extends its leases as long as it needs."""

DRAIN_S = 8.0
"""How long a stopping worker may finish what it holds."""


class Acked(events.PulledMessage, Protocol):
    """A pulled message that can be settled."""

    def ack(self) -> None: ...
    def nack(self) -> None: ...


class Pending:
    """Responses that were handed to the broker's client and are not acknowledged by it yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._draining = False

    def add(self) -> bool:
        """Count one more; False, and not counted, when draining: whoever publishes now waits for the broker itself."""
        with self._changed:
            self._count += not self._draining
            return not self._draining

    def done(self) -> None:
        """One that was counted is settled."""
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> int:
        """Count no more, and wait for those that are; gives how many are left when the time is up."""
        with self._changed:
            self._draining = True
            self._changed.wait_for(lambda: not self._count, timeout_s)
            return self._count


def on_message(
    message: Acked, produce: Callable[[Envelope], Response | None], responses: ResponsePublisher, pending: Pending
) -> None:
    """Answer one message; ack it when the broker has the response, nack it for every failure."""
    try:
        response = produce(events.from_pulled(message))
        published = responses.publish(response) if response else None
    except Exception:
        _nack(message)
        return
    if response is None or published is None:
        message.ack()
    elif pending.add():
        published.add_done_callback(lambda future: _settle_counted(message, response, future, pending))
    else:
        _settle(message, response, published)


def _settle_counted(message: Acked, response: Response, published: Future[str], pending: Pending) -> None:
    _settle(message, response, published)
    pending.done()


def _settle(message: Acked, response: Response, published: Future[str]) -> None:
    try:
        published.result(PUBLISH_TIMEOUT_S)
    except Exception:
        _nack(message)
        return
    message.ack()
    log_outcome(response)


def _nack(message: Acked) -> None:
    log.exception("nacked", extra={"message_id": message.message_id, "outcome": "nacked"})
    message.nack()


@contextmanager
def pulling(settings: Settings, service: Service) -> Iterator[list[Future[None]]]:
    """Pull requests and dead letters until the block ends; then drain. Gives a future a stream: done when it broke."""
    pending = Pending()
    flow = pubsub_v1.types.FlowControl(
        max_messages=settings.pull_max_messages,
        max_bytes=settings.pull_max_bytes,
        max_duration_per_lease_extension=LEASE_S,
    )
    client = pubsub_v1.SubscriberClient()
    streams: list[Future[None]] = []
    doors = ((settings.request_subscription, service.respond), (settings.dead_subscription, service.announce))
    for name, produce in doors:
        streams.append(
            client.subscribe(
                settings.subscription_path(name),
                lambda message, produce=produce: on_message(message, produce, service.responses, pending),
                flow_control=flow,
                # Callbacks wait for the batcher: enough of them to fill one batch while another is scored.
                scheduler=ThreadScheduler(ThreadPoolExecutor(2 * settings.max_batch_size, f"pull-{name}")),
                await_callbacks_on_shutdown=True,
            )
        )
    try:
        yield streams
    finally:
        # The streams first take no more, then wait for the callbacks, which from now on wait for the broker: so every
        # ack is on its way before a stream ends. What is not begun is handed back by the stream itself.
        deadline = time.monotonic() + DRAIN_S
        left = pending.drain(DRAIN_S)
        for stream in streams:
            stream.cancel()
        wait(streams, max(0.0, deadline - time.monotonic()))
        client.close()
        log.info("worker stopped", extra={"unfinished": left})


def main() -> int:
    """Run until SIGTERM or SIGINT: 0. When the settings or the model are wrong: 2. When a stream breaks for good: 1."""
    # Not an Event: a signal handler may interrupt the very lock that Event.set takes. SimpleQueue.put is reentrant.
    stop: queue.SimpleQueue[None] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(None))
    try:
        settings, service = bootstrap.settings(), bootstrap.service()
    except (SettingsError, ArtifactError) as exc:
        log.error("cannot start: %s", exc)
        return 2
    with pulling(settings, service) as streams:
        for stream in streams:
            stream.add_done_callback(lambda _: stop.put(None))
        log.info("worker ready", extra={"model": service.model.name, "engine": service.model.engine})
        _wait(stop)
        broken = [stream.exception() for stream in streams if stream.done()]
        for reason in broken:
            log.error("a pull stream broke: %s", reason)
    return 1 if broken else 0


def _wait(stop: queue.SimpleQueue[None]) -> None:
    """Wait for a word. A signal that another thread caught is handled only when the main thread wakes: so it does."""
    while True:
        with suppress(queue.Empty):
            stop.get(timeout=0.25)
            return


if __name__ == "__main__":
    sys.exit(main())
