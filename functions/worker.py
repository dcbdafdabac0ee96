"""The pull door: the same service, fed by StreamingPull. Run it with `python -m functions.worker`.

The pipe is kept full: a message is acked in the callback of its response's future while the next images are scored.
On SIGTERM the worker finishes what it is scoring, hands back the rest and ends, within Cloud Run's 10 s.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

from google.cloud import pubsub_v1

from functions import bootstrap, events
from functions.contract import Envelope, Response
from functions.gcp import answers
from functions.handback import HandingBack
from functions.liveness import Liveness
from functions.service import PUBLISH_TIMEOUT_S, Service
from functions.settings import Settings, SettingsError
from model.artifact import ArtifactError

log = logging.getLogger("functions.worker")  # by name: under -m, __name__ is __main__, whose logs nobody shows

LEASE_S = 20
"""How long the broker waits for a worker that died; one that lives extends its leases as long as it needs."""

DRAIN_S = 8.0
"""How long a stopping worker may finish what it holds."""


STUCK_DRAIN_S = 2.0
"""How long a stuck worker may try to end in order."""


class Acked(events.PulledMessage, Protocol):
    """A pulled message that can be settled."""

    def ack(self) -> None: ...
    def nack(self) -> None: ...


Produce = Callable[[Envelope], Response | None]


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


def on_message(message: Acked, produce: Produce, service: Service, pending: Pending) -> None:
    """Answer one message; ack it when the broker has the response, nack it for every failure."""
    envelope = events.from_pulled(message)
    try:
        response = produce(envelope)
        published = service.responses.publish(response) if response else None
    except Exception as exc:
        _nack(message, envelope, service, exc)
        return
    if response is None or published is None:
        message.ack()
        return

    def settle(published: Future[str]) -> None:
        try:
            published.result(PUBLISH_TIMEOUT_S)
        except Exception as exc:
            _nack(message, envelope, service, exc)
            return
        message.ack()
        service.outcomes.answered(response)

    def settle_counted(published: Future[str]) -> None:
        settle(published)
        pending.done()

    if pending.add():
        published.add_done_callback(settle_counted)
    else:
        settle(published)


def _nack(message: Acked, envelope: Envelope, service: Service, failure: Exception) -> None:
    message.nack()
    service.outcomes.nacked(envelope, failure)


@contextmanager
def pulling(settings: Settings, service: Service) -> Iterator[tuple[list[Future[None]], Liveness]]:
    """Pull requests and dead letters until the block ends; then drain.

    Gives a future a stream, done when it broke, and what shows whether they live.
    """
    pending = Pending()
    flow = pubsub_v1.types.FlowControl(
        max_messages=settings.pull_max_messages,
        max_bytes=settings.pull_max_bytes,
        max_duration_per_lease_extension=LEASE_S,
    )
    client = pubsub_v1.SubscriberClient()
    asked = settings.subscription_path(settings.request_subscription)
    liveness = Liveness(partial(answers, client, asked), settings.pull_silence_s)

    def work(message: Acked, produce: Produce) -> None:
        with liveness.working():
            on_message(message, produce, service, pending)

    streams: list[Future[None]] = []
    doors = ((settings.request_subscription, service.respond), (settings.dead_subscription, service.announce))
    for name, produce in doors:
        # Callbacks wait for the batcher: enough of them to fill one batch while another is scored.
        threads = ThreadPoolExecutor(2 * settings.max_batch_size, f"pull-{name}")
        streams.append(
            client.subscribe(
                settings.subscription_path(name),
                partial(work, produce=produce),
                flow_control=flow,
                scheduler=HandingBack(threads, service.outcomes),
                await_callbacks_on_shutdown=True,
            )
        )
    try:
        yield streams, liveness
    finally:
        # The streams first take no more, then wait for the callbacks, which from now on wait for the broker: so every
        # ack is on its way before a stream ends. What is not begun is handed back by the stream itself.
        deadline = time.monotonic() + DRAIN_S
        left = pending.drain(DRAIN_S)
        for stream in streams:
            stream.cancel()
        wait(streams, max(0.0, deadline - time.monotonic()))
        liveness.end()
        client.close()
        service.flush()
        log.info("worker stopped", extra={"unfinished": left})


def main() -> int:
    """Run until SIGTERM or SIGINT: 0. When the settings or the model are wrong: 2. When a stream breaks or hangs: 1."""
    # Not an Event: a signal handler may interrupt the very lock that Event.set takes. SimpleQueue.put is reentrant.
    stop: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(""))
    try:
        settings, service = bootstrap.settings(), bootstrap.service()
        with ExitStack() as stack:
            streams, liveness = stack.enter_context(pulling(settings, service))
            if settings.health_address:
                from functions.health import answering  # 13 ms that a worker without it need not wait

                stack.enter_context(answering(settings.health_address, partial(_report, service, liveness)))
            for stream in streams:
                stream.add_done_callback(lambda _: stop.put(""))
            threading.Thread(target=_end_when_stuck, args=(liveness, stop), name="liveness", daemon=True).start()
            log.info("worker ready", extra={"model": service.model.name, "engine": service.model.engine})
            stuck = _wait(stop)
            broken = [f"a pull stream broke: {stream.exception()}" for stream in streams if stream.done()]
            for reason in filter(None, [*broken, stuck]):
                log.error(reason)
    except (SettingsError, ArtifactError) as exc:
        log.error("cannot start: %s", exc)
        return 2
    return 1 if broken or stuck else 0


def _report(service: Service, liveness: Liveness) -> tuple[bool, dict[str, Any]]:
    """What GET /health says."""
    doubt = liveness.doubt()
    return not doubt, {"status": doubt or "ok", **service.outcomes.counts()}


def _end_when_stuck(liveness: Liveness, stop: queue.SimpleQueue[str]) -> None:
    """End the process for whoever restarts it: in order, or soon without order, because what it waits for is stuck."""
    if trouble := liveness.watch():
        stop.put(f"stuck, and ending to be started afresh: {trouble}")
        time.sleep(STUCK_DRAIN_S)
        os._exit(1)


def _wait(stop: queue.SimpleQueue[str]) -> str:
    """Wait for a word. A signal that another thread caught is handled only when the main thread wakes: so it does."""
    while True:
        with suppress(queue.Empty):
            return stop.get(timeout=0.25)


if __name__ == "__main__":
    sys.exit(main())
