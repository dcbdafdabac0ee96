"""The commands dead-letters list, show, redrive and purge."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import dead_letter_options as shared
from client.cli import options
from client.gcp import Cloud, UsageError

if TYPE_CHECKING:
    from client.dead_letters.redrive import Judged, Redrive
    from client.results.output import Messages


@click.group(
    name="dead-letters",
    cls=shared.Group,
    epilog="""\b
Examples:
  predictions dead-letters list
  predictions dead-letters show REQUEST_ID --save .
  predictions dead-letters redrive --dry-run
  predictions dead-letters redrive --limit 1
  predictions dead-letters purge --older-than 3d""",
)
def dead_letters() -> None:
    """List, show, redrive and purge dead letters.

    A dead letter is a request that no worker could answer in 20 attempts.
    """


@dead_letters.command(
    "list",
    short_help="List dead letters and leave them in place.",
    epilog=shared.EXIT_CODES.format(failure="the dead letters could not be read"),
)
@shared.common
@shared.explaining
@shared.as_json
@options.option(
    "--limit",
    type=options.Number(1, whole=True),
    default=1000,
    metavar="N",
    help="List at most N dead letters.  [default: 1000]",
)
def list_(subscription: str, response_topic: str, no_reasons: bool, as_json: bool, limit: int, **place: str) -> int:
    """List dead letters, the oldest first, and leave them where they are.

    While the command runs, no other reader gets them. The reason is the one of the announcement, as long as the
    response topic keeps it; otherwise it is unknown.

    \b
    Example:
      predictions dead-letters list --json
    """
    from client.dead_letters.output import show_rows
    from client.dead_letters.summary import HEADINGS, Summary

    cloud, found = Cloud(response_topic=response_topic, **place), list[Summary]()
    with shared.opened(cloud, subscription) as (held, messages):
        for page in held.pages():
            found += map(Summary.of, page)
            if len(found) > limit:
                break
        listed = shared.explained(cloud, found[:limit], messages, no_reasons)
    now = datetime.now(UTC)
    listed.sort(key=lambda each: each.died_at)
    if as_json:
        for each in listed:
            print(json.dumps(each.json(now)), flush=True)
    elif listed:
        show_rows(HEADINGS, (each.row(now) for each in listed))
    more = f"; there are more than the limit of {limit:,}" if len(found) > limit else ""
    messages.show(f"{_many(len(listed))} in {held.path}{more}")
    return 0


@dead_letters.command(
    short_help="Show a dead letter, and save its payload.",
    epilog=shared.EXIT_CODES.format(failure="there is no such dead letter, or it could not be saved"),
)
@click.argument("name", metavar="ID", help="Request id or message id.")
@shared.common
@shared.explaining
@shared.as_json
@options.option(
    "--save", type=options.FilePath(), metavar="FILE|DIR", help="Save the payload to a new file, or in a folder."
)
def show(
    name: str,
    subscription: str,
    response_topic: str,
    no_reasons: bool,
    as_json: bool,
    save: Path | None,
    **place: str,
) -> int:
    """Show a dead letter: its attributes and its payload, which --save writes to a file.

    In a folder, the file is named after the message's id and not after anything that the sender chose.

    \b
    Example:
      predictions dead-letters show REQUEST_ID --save .
    """
    from client.dead_letters.output import details, details_json
    from client.dead_letters.payload_file import save_payload
    from client.dead_letters.summary import Summary
    from client.text import plain, printable

    cloud, count, failed = Cloud(response_topic=response_topic, **place), 0, 0
    with shared.opened(cloud, subscription) as (held, messages):
        for each in (
            each for page in held.pages() for each in page if name in (each.request.request_id, each.message_id)
        ):
            [summary] = shared.explained(cloud, [Summary.of(each)], messages, no_reasons)
            now, count = datetime.now(UTC), count + 1
            as_text = json.dumps(details_json(each, summary, now)) if as_json else details(each, summary.reason, now)
            print(as_text, flush=True)
            if save is None:
                continue
            try:
                messages.show(f"saved as {printable(str(save_payload(each, save)))}")
            except OSError as exc:
                messages.show(f"the payload could not be saved as {printable(str(save))}: {plain(exc)}")
                failed += 1
    if not count:
        messages.show(f"no dead letter has the id {printable(name)}")
    return 1 if failed or not count else 0


@dead_letters.command(
    short_help="Publish dead letters as requests again.",
    epilog=shared.EXIT_CODES.format(failure="some dead letters stay, or were not found"),
)
@click.argument("names", metavar="[ID]...", nargs=-1, help="Request ids or message ids; all dead letters without any.")
@shared.common
@shared.explaining
@shared.as_json
@options.topic
@options.option("--limit", type=options.Number(1, whole=True), metavar="N", help="Publish at most N requests.")
@options.option(
    "--rate", type=options.Number(0, positive=True), metavar="N", help="Publish at most N requests a second."
)
@options.option("--keep-expired", is_flag=True, help="Publish expired requests too; the worker answers `expired`.")
@options.option("--dry-run", is_flag=True, help="Publish nothing; count the reasons, and name what would stay.")
def redrive(
    names: Sequence[str],
    subscription: str,
    response_topic: str,
    topic: str,
    no_reasons: bool,
    as_json: bool,
    limit: int | None,
    rate: float | None,
    keep_expired: bool,
    dry_run: bool,
    **place: str,
) -> int:
    """Publish dead letters on the request topic again, under their old request ids.

    A dead letter is acked after the broker has confirmed its copy: after Ctrl-C or a kill none is lost, and the next
    run continues. The attribute `redriven` counts the redrives of a request. After three, its dead letter stays.

    \b
    Example:
      predictions dead-letters redrive --limit 1
    """
    from client.dead_letters.brokers import requests_of
    from client.dead_letters.redrive import Redrive

    cloud = Cloud(topic=topic, response_topic=response_topic, **place)
    requests = requests_of(cloud)
    with shared.opened(cloud, subscription) as (held, messages):
        run = Redrive(held, chosen=set(names), limit=limit, rate=rate, keep_expired=keep_expired)
        if dry_run:
            planned = _planned(run, cloud, messages, no_reasons, as_json)
            return _report(run, planned, messages, "would be redriven", as_json)
        with requests as publisher:
            return _report(run, run.run(publisher), messages, "redriven", as_json)


@dead_letters.command(
    short_help="Delete dead letters for good.",
    epilog=shared.EXIT_CODES.format(failure="nothing was purged, or not everything"),
)
@shared.common
@options.option(
    "--older-than", type=shared.Age(), metavar="AGE", help="Purge those that are dead longer: 90s, 30m, 12h, 7d."
)
@options.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def purge(subscription: str, older_than: timedelta | None, yes: bool, **place: str) -> int:
    """Delete dead letters for good, after a confirmation.

    \b
    Example:
      predictions dead-letters purge --older-than 3d
    """
    cloud, ids, others = Cloud(**place), list[str](), 0
    with shared.opened(cloud, subscription) as (held, messages):
        now = datetime.now(UTC)
        for each in (each for page in held.pages() for each in page):
            if older_than is None or now - each.died_at >= older_than:
                others += not each.is_dead
                ids += [each.message_id] if each.is_dead else []
        if others:
            stay = "1 message stays" if others == 1 else f"{others:,} messages stay"
            messages.show(f"{stay}, being no dead letter: is {held.path} the right subscription?")
        if ids and not yes and not _confirmed(len(ids), held.path):
            messages.show("nothing is purged: the number was not typed")
            return 1
        held.delete(ids)
        messages.show(f"{_many(len(ids))} purged from {held.path}")
    return 1 if others else 0


def _confirmed(count: int, path: str) -> bool:
    """Ask for the number. Raises UsageError where stdin has ended, as in a script."""
    text = f"{_many(count)} of {path} will be deleted for good. Type {count} to confirm: "
    print(text, end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline()
    if not typed:
        raise UsageError("purge asks for a confirmation; give --yes where nobody can type it")
    return typed.strip() == str(count)


def _planned(run: Redrive, cloud: Cloud, messages: Messages, no_reasons: bool, as_json: bool) -> Iterator[Judged]:
    """Yield what a redrive would leave in place, and print how often each reason occurs among all."""
    from collections import Counter

    from client.dead_letters.output import show_rows
    from client.dead_letters.summary import Summary

    meant = list[Summary]()
    for each, obstacle in run.plan():
        meant.append(Summary.of(each))
        if obstacle:
            yield each, obstacle
    counts = Counter(each.reason for each in shared.explained(cloud, meant, messages, no_reasons)).most_common()
    if as_json:
        for reason, count in counts:
            print(json.dumps({"reason": reason, "dead_letters": count}))
    elif counts:
        show_rows(("dead letters", "reason"), [(f"{count:,}", reason) for reason, count in counts])


def _report(run: Redrive, judged: Iterable[Judged], messages: Messages, done: str, as_json: bool) -> int:
    """Print what became of each dead letter, and at the end the numbers. Returns the exit code."""
    from client.text import printable

    left = 0
    try:
        for each, obstacle in judged:
            left += bool(obstacle)
            request_id = each.request.request_id
            line = {"request_id": request_id, "message_id": each.message_id, "left": obstacle or None}
            text = f"left: {request_id}: {obstacle}" if obstacle else f"{done}: {request_id}"
            print(json.dumps(line) if as_json else printable(text), flush=True)
    finally:
        messages.show(f"{run.count:,} {done}, {left:,} left in place")
    missing = set() if run.is_limited else run.missing
    for name in sorted(missing):
        messages.show(f"no dead letter has the id {printable(name)}")
    return 1 if left or missing else 0


def _many(count: int) -> str:
    return f"{count:,} dead letter{'' if count == 1 else 's'}"
