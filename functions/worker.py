"""The pull door: the same service, fed by StreamingPull. Run it with `python -m functions.worker`.

The pipe is kept full: a message is acked in the callback of its response's future while the next images are scored.
On SIGTERM the worker finishes what it is scoring, hands back the rest and ends, within Cloud Run's 10 s.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

from functions import bootstrap, events
from functions.contract import Envelope, Response
from functions.service import ResponsePublisher, Service, log_outcome
from functions.settings import Settings, SettingsError
from model.artifact import ArtifactError

log = logging.getLogger("functions.worker")  # by name: under -m, __name__ is __main__, whose logs nobody shows

DRAIN_S = 8.0
"""How long a stopping worker may finish what it holds."""


class Acked(events.PulledMessage, Protocol):
    """A pulled message that can be settled."""

    def ack(self) -> None: ...
    def nack(self) -> None: ...


class Held:
    """The messages that the worker is working on; after `close` it takes no more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._open = True

    def take(self) -> bool:
        with self._changed:
            self._count += self._open
            return self._open

    def release(self) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def close(self, timeout_s: float) -> int:
        """Wait until nothing is held; gives how many still are when the time is up."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: not self._count, timeout_s)
            return self._count


def on_message(
    message: Acked, produce: Callable[[Envelope], Response | None], responses: ResponsePublisher, held: Held
) -> None:
    """Answer one message; ack it when the broker has the response, nack it for every failure."""
    if not held.take():
        message.nack()
        return
    try:
        response = produce(events.from_pulled(message))
        published = responses.publish(response) if response else None
    except Exception:
        _nack(message, held)
        return
    if response is None or published is None:
        message.ack()
        held.release()
        return
    published.add_done_callback(lambda future: _settle(message, response, future, held))


def _settle(message: Acked, response: Response, published: Future[str], held: Held) -> None:
    try:
        published.result()
    except Exception:
        _nack(message, held)
        return
    message.ack()
    log_outcome(response)
    held.release()


def _nack(message: Acked, held: Held) -> None:
    log.exception("nacked", extra={"message_id": message.message_id, "outcome": "nacked"})
    message.nack()
    held.release()


@contextmanager
def pulling(settings: Settings, service: Service) -> Iterator[list[Future[None]]]:
    """Pull requests and dead letters until the block ends; then drain. Gives a future a stream: done when it broke."""
    held = Held()
    flow = pubsub_v1.types.FlowControl(max_messages=settings.pull_max_messages, max_bytes=settings.pull_max_bytes)
    client = pubsub_v1.SubscriberClient()
    streams: list[Future[None]] = []
    doors = ((settings.request_subscription, service.respond), (settings.dead_subscription, service.announce))
    for name, produce in doors:
        streams.append(
            client.subscribe(
                settings.subscription_path(name),
                lambda message, produce=produce: on_message(message, produce, service.responses, held),
                flow_control=flow,
                # Callbacks wait for the batcher: enough of them to fill one batch while another is scored.
                scheduler=ThreadScheduler(ThreadPoolExecutor(2 * settings.max_batch_size, f"pull-{name}")),
                await_callbacks_on_shutdown=True,
            )
        )
    try:
        yield streams
    finally:
        left = held.close(DRAIN_S)
        for stream in streams:
            stream.cancel()
        for stream in streams:
            if not stream.exception():
                stream.result()
        client.close()
        log.info("worker stopped", extra={"unfinished": left})


def main() -> int:
    """Run until SIGTERM or SIGINT: 0. When the settings or the model are wrong: 2. When a stream breaks for good: 1."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings, service = bootstrap.settings(), bootstrap.service()
    except (SettingsError, ArtifactError) as exc:
        log.error("cannot start: %s", exc)
        return 2
    with pulling(settings, service) as streams:
        for stream in streams:
            stream.add_done_callback(lambda _: stop.set())
        log.info("worker ready", extra={"model": service.model.name, "engine": service.model.engine})
        stop.wait()
        broken = [stream.exception() for stream in streams if stream.done()]
        for reason in broken:
            log.error("a pull stream broke: %s", reason)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
