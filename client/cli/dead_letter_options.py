"""What the commands of dead-letters share: their options, the leases, and the reasons of dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.broker_options import place
from client.gcp import Cloud
from client.period import period

if TYPE_CHECKING:
    from client.dead_letters.brokers import DeadLetters
    from client.dead_letters.summary import Summary
    from client.results.output import Messages


class Age(click.ParamType[timedelta]):
    """An age: a whole number and a unit."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        age = period(str(value))
        if age is None:
            self.fail(f"{value!r} is no age; it must look like 90s, 30m, 12h or 7d", param, ctx)
        return age


class Group(click.Group):
    """A group whose commands are `options.Command`s."""

    command_class = options.Command


common = options.together(
    place,
    options.option(
        "--subscription",
        default="",
        metavar="NAME",
        help="Subscription that holds dead letters, or their topic in Kafka.  [default: dead_predict-sub, or "
        "dead_predict]",
    ),
)
"""Declares what all these commands share."""

explaining = options.together(
    options.option(
        "--response-topic",
        default="res_predict",
        envvar="RESPONSE_TOPIC",
        metavar="NAME",
        help="Topic of the announcements.  [env: RESPONSE_TOPIC; default: res_predict]",
    ),
    options.option("--no-reasons", is_flag=True, help="Do not look for the announcements on the response topic."),
)
"""Declares the options of commands that show the reasons of dead letters."""

as_json = options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each dead letter.")
EXIT_CODES = """\b
Exit codes:
  0    done
  1    {failure}
  2    wrong usage
  130  interrupted with Ctrl-C"""


@contextmanager
def opened(cloud: Cloud, name: str) -> Iterator[tuple[DeadLetters, Messages]]:
    """Read dead letters during the block. Raises SendError, also for errors of the subscription."""
    from google.api_core.exceptions import GoogleAPIError

    from client.dead_letters.brokers import dead_letters_of
    from client.dead_letters.subscription import ADVICE
    from client.results.output import Messages
    from client.text import SendError, plain
    from client.transport.broker import broker_of

    messages = Messages()
    found = dead_letters_of(cloud, name, messages.show)
    broker_of(cloud).check()
    try:
        with found as held:
            messages.show(f"reading {held.path} until {held.until}")
            yield held, messages
    except GoogleAPIError as exc:
        advice = ADVICE.get(type(exc).__name__, "")
        raise SendError(f"dead letters cannot be read: {plain(exc, found.path)}{advice}") from exc


def explained(cloud: Cloud, summaries: list[Summary], messages: Messages, no_reasons: bool) -> list[Summary]:
    """Return the summaries with the reasons of their announcements. A dead letter of Kafka has its reason itself."""
    from client.dead_letters.announcements import find_reasons
    from client.dead_letters.summary import UNKNOWN

    unknown = [each for each in summaries if each.reason == UNKNOWN]
    if no_reasons or not unknown or cloud.broker:
        return summaries
    since = min(each.died_at for each in unknown)
    reasons = find_reasons(cloud, (each.request_id for each in unknown), since, messages.show)
    return [each.explained(reasons) for each in summaries]
