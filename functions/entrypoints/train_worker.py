"""The training worker: `python -m functions.entrypoints.train_worker` handles the requests of req_train one at a time.

Terraform's variable `retrain` adds a Cloud Run job that runs this command. It needs the packages of
model/requirements.txt.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError, RetryError
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError

from functions.gcp.subscriber import subscriber
from functions.messages.contract import Envelope
from functions.messages.training import answer_attributes, decode_training, encode_answer
from functions.observability.json_logging import configure
from functions.retrain.alerts import from_alert
from functions.retrain.answering import answer
from functions.retrain.lease import Lease
from functions.retrain.process import JobFailed
from functions.retrain.settings import TrainSettings
from functions.settings import SettingsError

# By name: under -m, __name__ is __main__, and json_logging.py shows the logger "functions".
log = logging.getLogger("functions.entrypoints.train_worker")

_PULL_S = 20.0
"""Seconds that a pull waits for a message."""

_OUTAGE_S = 300.0
"""Seconds for which a broker that does not answer is asked again, before the process ends with an error."""


def serve(settings: TrainSettings, until_idle_s: float | None) -> None:
    """Handle requests, without end or until none has arrived for `until_idle_s` seconds. Raises Google's errors."""
    from google.pubsub_v1 import PublisherClient

    with subscriber() as client, PublisherClient() as publisher:
        idle_since = time.monotonic()
        log.info("training worker ready", extra={"subscription": settings.subscription_path})
        while until_idle_s is None or time.monotonic() - idle_since < until_idle_s:
            for received in _pull(client, settings.subscription_path):
                _handle(received, client, publisher, settings)
                idle_since = time.monotonic()


def _pull(client: Any, subscription: str) -> Sequence[Any]:
    request = {"subscription": subscription, "max_messages": 1}
    try:
        messages: Sequence[Any] = client.pull(
            request=request, retry=Retry(timeout=_OUTAGE_S), timeout=_PULL_S
        ).received_messages
    except DeadlineExceeded:
        return ()
    return messages


def _handle(received: Any, client: Any, publisher: Any, settings: TrainSettings) -> None:
    """Answer one message and ack it after the answer is published; nack it when another attempt may succeed."""
    message = received.message
    attempt = received.delivery_attempt
    envelope = Envelope(message.message_id, message.data, dict(message.attributes), message.publish_time, attempt)
    asked = from_alert(envelope, settings.on_alert)
    if asked is None:
        client.acknowledge(subscription=settings.subscription_path, ack_ids=[received.ack_id])
        log.info("an incident has ended, which requests nothing", extra={"message_id": message.message_id})
        return
    request = decode_training(asked)
    about = {"request_id": request.request_id, "kind": request.kind, "delivery_attempt": attempt}
    log.info("training request", extra=about)
    with Lease(client, settings.subscription_path, received.ack_id, settings.lease_s) as lease:
        try:
            answered = answer(request, settings)
        except (JobFailed, OSError) as exc:
            log.error("a training request failed and comes again: %s", exc, extra=about)
            return
        publisher.publish(
            request={
                "topic": settings.topic_path,
                "messages": [{"data": encode_answer(answered), "attributes": answer_attributes(answered)}],
            },
            retry=Retry(timeout=_OUTAGE_S),
        )
        lease.ack()
    error, model = answered.response.error, answered.response.model
    outcome = {"outcome": answered.response.status, "code": error.code if error else None}
    said = error or answered.training
    log.info(
        "training answered: %s",
        said.message if said else "",
        extra=about | outcome | {"version": model.version if model else None},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Serve. Returns 0 when it is idle or interrupted, and 1 when a setting is wrong or a call failed."""
    parser = argparse.ArgumentParser(
        prog="python -m functions.entrypoints.train_worker",
        description="Handle the requests of req_train one at a time: train, evaluate, push, set the candidate.",
        epilog="docs/registry.md lists the settings, which are environment variables.",
    )
    parser.add_argument(
        "--until-idle",
        type=float,
        metavar="SECONDS",
        help="end when no request has arrived for so long (default: run until stopped)",
    )
    args = parser.parse_args(argv)
    configure("INFO", "")
    try:
        settings = TrainSettings.from_env(os.environ)
    except SettingsError as exc:
        log.error("%s", exc)
        return 1
    configure(settings.log_level, settings.project)
    if find_spec("tensorflow") is None:
        log.error("TensorFlow is not installed: pip install -r model/requirements.txt")
        return 1
    try:
        serve(settings, args.until_idle)
    except KeyboardInterrupt:
        log.info("training worker stopped")
    except (GoogleAPICallError, RetryError, GoogleAuthError) as exc:
        log.error("Pub/Sub cannot be used: %s", exc)
        return 1
    return 0


if __name__ == "__main__":
    # SIGTERM is handled like Ctrl-C: the job is ended and its request nacked.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
