"""The commands themselves: each puts the parts together, shows what comes, and gives the exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

from client import crew, predict, send, upload
from client.cloud import UsageError
from client.ledger import Ledger, Outcome
from client.options import cloud_of, inline_limit, wishes_of
from client.paths import Picture, expand
from client.receive import Inbox
from client.render import Ids, JsonLines, Table, Talk, View
from client.words import printable, shown

INTERRUPTED = 130


def run_publish(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Publish pictures on the request topic."""
    pictures, unmatched = _pictures(args)
    cloud, ledger, talk = cloud_of(args), Ledger(), Talk()
    limit = inline_limit(environ)
    with ExitStack() as stack:
        reply_to = _listen(args, ledger, talk, stack)
        payloads = send.Bucket(cloud, args.bucket) if args.bucket else None
        sender = send.Sender(cloud, ledger, wishes_of(args), reply_to, payloads, limit)
        crew.start(pictures, sender.send, ledger, send.THREADS)
        return _follow(args, pictures, unmatched, ledger, talk)


def run_upload(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Drop pictures in the watched bucket."""
    if not args.bucket:
        raise UsageError("no bucket is known: give --bucket, or set UPLOAD_BUCKET")
    pictures, unmatched = _pictures(args)
    cloud, ledger, talk = cloud_of(args), Ledger(), Talk()
    with ExitStack() as stack:
        reply_to = _listen(args, ledger, talk, stack)
        names = upload.object_names(pictures, args.prefix)
        uploader = upload.Uploader(send.Bucket(cloud, args.bucket), ledger, wishes_of(args), reply_to, names)
        crew.start(pictures, uploader.send, ledger, upload.THREADS)
        return _follow(args, pictures, unmatched, ledger, talk)


def run_predict(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Post pictures to the HTTP door."""
    if not args.url:
        raise UsageError("no worker is known: give --url, or set WORKER_URL")
    pictures, unmatched = _pictures(args)
    ledger = Ledger()
    asker = predict.Asker(args.url, ledger, wishes_of(args), args.timeout)
    crew.start(pictures, asker.send, ledger, predict.THREADS)
    return _follow(args, pictures, unmatched, ledger, Talk())


def follow(outcomes: Iterable[Outcome], view: View, progress: Callable[[int], None]) -> list[Outcome]:
    """Show outcomes as they come; gives those that did not go well."""
    failed = []
    for number, outcome in enumerate(outcomes, 1):
        view.add(outcome)
        progress(number)
        if not outcome.ok:
            failed.append(outcome)
    return failed


def _pictures(args: argparse.Namespace) -> tuple[list[Picture], list[str]]:
    pictures, unmatched = expand(args.paths)
    if not pictures:
        raise UsageError(f"no image file is at {', '.join(map(printable, unmatched))}")
    return pictures, unmatched


def _listen(args: argparse.Namespace, ledger: Ledger, talk: Talk, stack: ExitStack) -> str | None:
    """Open the inbox before anything is sent, so that no answer is missed; gives what requests ask to be sent to."""
    if args.no_wait:
        if args.subscription:
            raise UsageError("--no-wait receives nothing, so it does not go with --subscription")
        return None
    inbox = Inbox(cloud_of(args), ledger.offer, ledger.give_up, talk.say, subscription=args.subscription)
    return stack.enter_context(inbox).client_id


def _follow(args: argparse.Namespace, pictures: list[Picture], unmatched: list[str], ledger: Ledger, talk: Talk) -> int:
    sends_only = getattr(args, "no_wait", False)
    order = [str(picture.path) for picture in pictures]
    view: View = JsonLines() if args.json else Ids() if sends_only else Table(order, (args.top_k or 1) > 1)
    try:
        failed = follow(ledger.outcomes(args.timeout), view, lambda done: talk.progress(done, len(pictures)))
    except KeyboardInterrupt:
        unanswered = ledger.stop()
        talk.clear()
        view.close()
        talk.say(f"interrupted; {len(unanswered)} unanswered")
        for outcome in unanswered:
            talk.say(f"  {shown(outcome.picture)} (request {printable(outcome.request_id)})")
        return INTERRUPTED
    talk.clear()
    view.close()
    sys.stdout.flush()
    _report(pictures, unmatched, failed, talk, "sent" if sends_only else "answered")
    return 1 if failed or unmatched else 0


def _report(pictures: list[Picture], unmatched: list[str], failed: list[Outcome], talk: Talk, done: str) -> None:
    for text in unmatched:
        talk.say(f"no image file is at {printable(text)}")
    for outcome in failed:
        if outcome.missing:
            talk.say(f"{outcome.problem}: {shown(outcome.picture)} (request {printable(outcome.request_id)})")
        elif outcome.problem and done == "sent":  # there is no table that says it
            talk.say(f"{shown(outcome.picture)}: {outcome.problem}")
    errors = sum(outcome.response is not None for outcome in failed)
    good = len(pictures) - len(failed)
    talk.say(f"{good} of {len(pictures)} {done}" + (f", {errors} with an error" if errors else ""))
