"""The command watch: prints every response as it arrives, whichever client sent the request."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from client.cli import options
from client.cli.broker_options import place
from client.gcp import Cloud

if TYPE_CHECKING:
    from client.results.output import Messages
    from functions.messages.contract import Response

_MAX_QUEUED = 1000
"""Responses queued for a slow terminal. When the queue is full, the stream waits."""

_POLL_S = 0.5
"""Seconds of the longest wait, because on some systems a waiting thread does not notice Ctrl-C."""


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    N responses were printed
  1    no more responses can be received
  2    wrong usage
  130  interrupted with Ctrl-C""",
)
@place
@options.receiving
@options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each response.")
@options.option("--limit", type=options.Number(1, whole=True), metavar="N", help="End after N responses.")
def watch(response_topic: str, subscription: str, as_json: bool, limit: int | None, **place: str) -> int:
    """Print every response as it arrives, until Ctrl-C.

    \b
    Example:
      predictions watch --json --limit 10
    """
    from client.results.output import Messages
    from client.transport.broker import broker_of

    broker = broker_of(Cloud(response_topic=response_topic, **place))
    broker.check(reads=response_topic)
    messages = Messages()
    arrived: queue.Queue[Response | str] = queue.Queue(_MAX_QUEUED)
    done = threading.Event()

    def put(received: Response | str) -> None:
        """Wait for space in the queue, until the command ends."""
        while not done.is_set():
            with suppress(queue.Full):
                return arrived.put(received, timeout=_POLL_S)

    with broker.responses(put, put, messages.show, subscription=subscription, all_clients=True) as responses:
        try:
            messages.show(f"watching {responses.path}; Ctrl-C ends it")
            return _show(arrived, messages, as_json, limit)
        finally:
            done.set()


def _show(arrived: queue.Queue[Response | str], messages: Messages, as_json: bool, limit: int | None) -> int:
    from client.results.output import as_json as json_of

    count = 0
    while limit is None or count < limit:
        try:
            received = arrived.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if isinstance(received, str):
            messages.show(received)
            return 1
        print(json.dumps(json_of(received)) if as_json else line(received), flush=True)
        count += 1
    return 0


def line(response: Response, image: str = "") -> str:
    """Return a response as one line: its time, its image, and its label or labels or the error.

    `image` names the image where more is known than what the response states.
    """
    from client.text import brief
    from model.labels import assigned

    name = image or response.source.filename or response.source.image_uri or response.request_id
    if response.error:
        result = f"{response.error.code}: {response.error.message}"
    else:
        found = assigned(response.predictions, response.labels)
        result = ", ".join(label if score is None else f"{label} {score:.4f}" for label, score in found) or "no label"
    return "  ".join(map(brief, (response.completed_at, name, result)))
