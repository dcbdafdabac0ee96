"""The commands themselves: each puts the parts together, shows what comes, and gives the exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import ExitStack

from client.cli.parser import cloud_of, inline_limit, wishes_of
from client.gcp import UsageError
from client.image_files import Picture, expand
from client.results.explanation_files import Explained
from client.results.output import Ids, JsonLines, Table, Talk, View
from client.results.request_tracker import Outcome, RequestTracker
from client.text import printable, shown
from client.transport import bucket as uploads
from client.transport import http, send_pool, topic
from client.transport.response_subscription import Inbox

INTERRUPTED = 130


def run_publish(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Publish pictures on the request topic."""
    pictures, unmatched = _pictures(args)
    cloud, tracker, talk = cloud_of(args), RequestTracker(), Talk()
    limit = inline_limit(environ)
    with ExitStack() as stack:
        reply_to = _listen(args, tracker, talk, stack)
        payloads = topic.Bucket(cloud, args.bucket) if args.bucket else None
        sender = topic.Sender(cloud, tracker, wishes_of(args), reply_to, payloads, limit)
        code = _send_all(args, pictures, unmatched, sender.send, topic.THREADS, tracker, talk)
        if code != INTERRUPTED:  # then others are still sending
            sender.close()
            if payloads:
                payloads.close()
        return code


def run_upload(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Drop pictures in the watched bucket."""
    if not args.bucket:
        raise UsageError("no bucket is known: give --bucket, or set UPLOAD_BUCKET")
    pictures, unmatched = _pictures(args)
    cloud, tracker, talk = cloud_of(args), RequestTracker(), Talk()
    with ExitStack() as stack:
        reply_to = _listen(args, tracker, talk, stack)
        names = uploads.object_names(pictures, args.prefix)
        bucket = topic.Bucket(cloud, args.bucket)
        uploader = uploads.Uploader(bucket, tracker, wishes_of(args), reply_to, names)
        code = _send_all(args, pictures, unmatched, uploader.send, uploads.THREADS, tracker, talk)
        if code != INTERRUPTED:
            bucket.close()
        return code


def run_predict(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Post pictures to the HTTP endpoint."""
    if not args.url:
        raise UsageError("no worker is known: give --url, or set ENDPOINT_URL or WORKER_URL")
    pictures, unmatched = _pictures(args)
    tracker = RequestTracker()
    asker = http.Asker(args.url, tracker, wishes_of(args), args.timeout, environ.get("ENDPOINT_TOKEN"))
    return _send_all(args, pictures, unmatched, asker.send, http.THREADS, tracker, Talk())


def _pictures(args: argparse.Namespace) -> tuple[list[Picture], list[str]]:
    pictures, unmatched = expand(args.paths)
    if not pictures:
        raise UsageError(f"no image file is at {', '.join(map(printable, unmatched))}")
    return pictures, unmatched


def _listen(args: argparse.Namespace, tracker: RequestTracker, talk: Talk, stack: ExitStack) -> str | None:
    """Open the inbox before anything is sent, so that no answer is missed; gives what requests ask to be sent to."""
    if args.no_wait:
        if args.subscription:
            raise UsageError("--no-wait receives nothing, so it does not go with --subscription")
        return None
    inbox = Inbox(cloud_of(args), tracker.offer, tracker.give_up, talk.say, subscription=args.subscription)
    return stack.enter_context(inbox).client_id


def _send_all(
    args: argparse.Namespace,
    pictures: list[Picture],
    unmatched: list[str],
    send_one: send_pool.Send,
    threads: int,
    tracker: RequestTracker,
    talk: Talk,
) -> int:
    """Send everything, show each outcome as it comes, and say in the end what went wrong; gives the exit code."""
    view, done = _view(args, pictures, talk), "sent" if getattr(args, "no_wait", False) else "answered"
    ended: list[Outcome] = []
    try:
        send_pool.start(pictures, send_one, tracker, threads)
        for outcome in tracker.outcomes(args.timeout):
            ended.append(outcome)
            view.add(outcome)
            talk.progress(len(ended), len(pictures))
    except KeyboardInterrupt:
        _interrupted(pictures, ended, tracker, view, talk)
        return INTERRUPTED
    talk.clear()
    view.close()
    sys.stdout.flush()
    failed = [outcome for outcome in ended if not outcome.ok]
    _report(pictures, unmatched, failed, talk, done)
    return 1 if failed or unmatched else 0


def _view(args: argparse.Namespace, pictures: list[Picture], talk: Talk) -> View:
    shown = _plain_view(args, pictures)
    return Explained(shown, talk) if args.explain else shown


def _plain_view(args: argparse.Namespace, pictures: list[Picture]) -> View:
    if args.json:
        return JsonLines()
    if getattr(args, "no_wait", False):
        return Ids()
    return Table([str(picture.path) for picture in pictures], all_labels=(args.top_k or 1) > 1)


def _interrupted(
    pictures: list[Picture], ended: list[Outcome], tracker: RequestTracker, view: View, talk: Talk
) -> None:
    """Show what came, and name what did not."""
    rest = tracker.stop()
    for outcome in rest:
        if not outcome.missing:
            view.add(outcome)
    talk.clear()
    view.close()
    sys.stdout.flush()
    unanswered = [outcome for outcome in rest if outcome.missing]
    known = {outcome.picture for outcome in (*ended, *rest)}
    unsent = [picture for picture in pictures if picture not in known]
    talk.say(f"interrupted; {len(unanswered)} unanswered" + (f", {len(unsent)} not sent" if unsent else ""))
    for outcome in unanswered:
        talk.say(f"  unanswered: {shown(outcome.picture)} (request {printable(outcome.request_id)})")
    for picture in unsent:
        talk.say(f"  not sent: {shown(picture)}")


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
