"""The command bridge: moves requests and responses from one broker to another."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import click

from client.cli import options
from client.cli.broker_options import Address, kafka_config
from client.gcp import Cloud, UsageError

if TYPE_CHECKING:
    from client.bridge.pump import Pump
    from client.results.output import Messages

_POLL_S = 0.2
"""Seconds between two looks at how much is moved."""


class _Command(options.Command):
    sections: ClassVar[Mapping[str, Sequence[str]]] = {
        "Messages": ("--requests", "--responses", "--idle", "--skip-refused"),
        "Where to": ("--from", "--to", *options.SECTIONS["Where to"]),
    }


@click.command(
    cls=_Command,
    epilog="""\b
Exit codes:
  0    --idle ended the command
  1    a message could not be moved, or a broker failed
  2    wrong usage
  130  interrupted with Ctrl-C; what is not confirmed stays where it is""",
)
@options.option("--from", "source", type=Address(), required=True, metavar="ADDRESS", help="Broker that has messages.")
@options.option("--to", "target", type=Address(), required=True, metavar="ADDRESS", help="Broker that gets them.")
@options.option("--requests", is_flag=True, help="Move the messages of the request topic.")
@options.option("--responses", is_flag=True, help="Move the messages of the response topic.")
@options.option(
    "--idle", type=options.SECONDS, metavar="S", help="End when nothing was moved for S seconds.  [default: Ctrl-C]"
)
@options.option("--skip-refused", is_flag=True, help="Name messages that the target refuses, and go on without them.")
@options.project
@kafka_config
@options.topic
@options.response_topic
@options.option(
    "--subscription",
    "--group",
    "subscription",
    default="",
    metavar="NAME",
    help="Subscription or consumer group to read from, where one kind is moved.  [default: TOPIC-sub, or TOPIC-bridge "
    "with Kafka]",
)
def bridge(
    source: str,
    target: str,
    requests: bool,
    responses: bool,
    idle: float | None,
    skip_refused: bool,
    project: str,
    kafka_config: str,
    topic: str,
    response_topic: str,
    subscription: str,
) -> int:
    """Move requests or responses from one broker to another, at least once, while both are in use.

    A message keeps its data, its attributes and its request id, and is acked or committed when the other broker has it.
    A message that came from there is not moved back.

    \b
    Examples:
      predictions bridge --from pubsub --to kafka://10.0.0.2:9092 --requests
      predictions bridge --from kafka://10.0.0.2:9092 --to pubsub --responses
    """
    from client.bridge.ends import source_of, target_of
    from client.bridge.pump import Pump
    from client.results.output import Messages

    kinds = {"requests": topic} if requests else {}
    kinds |= {"responses": response_topic} if responses else {}
    if not kinds:
        raise UsageError("nothing is named: give --requests, --responses or both")
    if subscription and len(kinds) > 1:
        raise UsageError("--subscription is for one kind of messages: give --requests or --responses alone")
    if source == target:
        raise UsageError("--from and --to are the same broker")
    messages, stop = Messages(), threading.Event()
    pumps = [
        Pump(
            kind,
            source_of(Cloud(project, name, broker=source, kafka_config=kafka_config), subscription),
            target_of(Cloud(project, name, broker=target, kafka_config=kafka_config)),
            stop,
            messages.show,
            idle_s=idle,
            skips_refused=skip_refused,
        )
        for kind, name in kinds.items()
    ]
    is_interrupted = _run(pumps, stop, messages)
    for pump in pumps:
        messages.show(_result(pump))
    if is_interrupted:
        return options.INTERRUPTED
    return 1 if any(pump.failure for pump in pumps) else 0


def _run(pumps: Sequence[Pump], stop: threading.Event, messages: Messages) -> bool:
    """Run the pumps until they end, and show how much they moved. Returns whether Ctrl-C ended them."""
    threads = [threading.Thread(target=pump.run, name=f"bridge-{pump.what}") for pump in pumps]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(_POLL_S)
            messages.progress(sum(pump.moved.count for pump in pumps), None)
        return False
    except KeyboardInterrupt:
        return True
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        messages.clear()


def _result(pump: Pump) -> str:
    moved = pump.moved
    return (
        f"{moved.count:,} {pump.what} moved"
        + (f", {moved.returned:,} left out because they came from there" if moved.returned else "")
        + (f", {moved.refused:,} skipped" if moved.refused else "")
        + (f"; {pump.failure}" if pump.failure else "")
    )
