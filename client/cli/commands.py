"""The commands publish, upload and predict: each opens its transport and calls the same `run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.gcp import Cloud, UsageError

if TYPE_CHECKING:
    from client.image_files import ImageFile
    from client.results.output import Messages, View
    from client.results.request_tracker import Outcome, RequestTracker
    from client.transport.base import SendOptions, Transport
    from client.transport.response_subscription import ResponseSubscription


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments that publish, upload and predict share."""

    paths: Sequence[str]
    as_json: bool
    top_k: int | None
    model: str | None
    explain: bool
    expires_in: float | None
    timeout: float
    no_wait: bool = False

    def request_options(self) -> SendOptions:
        """Return the options of each request."""
        from client.transport.base import SendOptions

        return SendOptions(self.top_k, self.model, self.expires_in, self.explain)


class Session:
    """What one command sends and how it reports. Raises UsageError when the paths name no image."""

    def __init__(self, arguments: Arguments) -> None:
        from client.image_files import expand
        from client.results.output import Messages
        from client.results.request_tracker import RequestTracker
        from client.text import printable

        self.arguments = arguments
        self.images, self.unmatched = expand(arguments.paths)
        if not self.images:
            raise UsageError(f"no image file is at {', '.join(map(printable, self.unmatched))}")
        self.tracker: RequestTracker = RequestTracker()
        self.messages: Messages = Messages()

    def responses(self, cloud: Cloud, subscription: str) -> ResponseSubscription | None:
        """Return the subscription for the responses, not opened yet; None with --no-wait."""
        from client.transport.response_subscription import ResponseSubscription

        if self.arguments.no_wait:
            if subscription:
                raise UsageError("--no-wait receives nothing, so --subscription cannot be used with it")
            return None
        tracker = self.tracker
        return ResponseSubscription(
            cloud, tracker.receive, tracker.abort, self.messages.show, subscription=subscription
        )


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@options.sending
@options.no_wait
@options.project
@options.receiving
@options.option(
    "--topic",
    default="req_predict",
    envvar="REQUEST_TOPIC",
    metavar="NAME",
    help="Request topic.  [env: REQUEST_TOPIC; default: req_predict]",
)
@options.option(
    "--bucket",
    default="",
    envvar="PAYLOAD_BUCKET",
    metavar="NAME",
    help="Bucket for images larger than INLINE_LIMIT bytes, by default 1000000.  [env: PAYLOAD_BUCKET]",
)
@click.pass_obj
def publish(
    environ: Mapping[str, str],
    /,
    project: str,
    response_topic: str,
    subscription: str,
    topic: str,
    bucket: str,
    **given: Any,
) -> int:
    """Publish images on the request topic and wait for their labels.

    A large image goes to a bucket, and the message holds a reference to it.

    \b
    Example:
      predictions publish shoe.png photos/ 'more/*.jpg' --top-k 3
    """
    from client.transport.topic import open_topic

    cloud, session = Cloud(project, topic, response_topic), Session(Arguments(**given))
    transport = open_topic(
        cloud,
        session.tracker,
        session.responses(cloud, subscription),
        options=session.arguments.request_options(),
        payload_bucket=bucket,
        inline_limit=inline_limit(environ),
    )
    return run(transport, session)


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@options.sending
@options.no_wait
@options.project
@options.receiving
@options.option(
    "--bucket", default="", envvar="UPLOAD_BUCKET", metavar="NAME", help="Watched bucket.  [env: UPLOAD_BUCKET]"
)
@options.option("--prefix", default="", metavar="PREFIX", help="Start of every object's name, such as shop/.")
def upload(project: str, response_topic: str, subscription: str, bucket: str, prefix: str, **given: Any) -> int:
    """Upload images to the watched bucket and wait for their labels.

    The files of a folder keep their paths below the folder.

    \b
    Example:
      predictions upload photos/ --bucket uploads --prefix shop/
    """
    from client.transport.bucket import open_bucket

    if not bucket:
        raise UsageError("no bucket is set: give --bucket, or set UPLOAD_BUCKET")
    cloud, session = Cloud(project, response_topic=response_topic), Session(Arguments(**given))
    transport = open_bucket(
        cloud,
        bucket,
        session.images,
        session.tracker,
        session.responses(cloud, subscription),
        prefix=prefix,
        options=session.arguments.request_options(),
    )
    return run(transport, session)


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@options.sending
@options.option(
    "--url",
    default="",
    envvar=["ENDPOINT_URL", "WORKER_URL"],
    metavar="URL",
    help="Address of the worker.  [env: ENDPOINT_URL, WORKER_URL]",
)
@click.pass_obj
def predict(environ: Mapping[str, str], /, url: str, **given: Any) -> int:
    """Post images to the HTTP endpoint of a worker.

    The variable ENDPOINT_TOKEN holds the identity token for a protected endpoint.

    \b
    Example:
      predictions predict shoe.png --url http://127.0.0.1:8080
    """
    from client.transport.http import HttpTransport

    if not url:
        raise UsageError("no worker is set: give --url, or set ENDPOINT_URL or WORKER_URL")
    session = Session(Arguments(**given))
    transport = HttpTransport(
        url,
        session.tracker,
        session.arguments.timeout,
        session.arguments.request_options(),
        environ.get("ENDPOINT_TOKEN"),
    )
    return run(nullcontext(transport), session)


def inline_limit(environ: Mapping[str, str]) -> int:
    """Return INLINE_LIMIT in bytes. Raises UsageError."""
    from client.transport.topic import INLINE_LIMIT, MAX_INLINE_LIMIT

    text = environ.get("INLINE_LIMIT", "").strip() or str(INLINE_LIMIT)
    if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_INLINE_LIMIT:
        return int(text)
    raise UsageError(f"INLINE_LIMIT is {text!r}; it must be a whole number of bytes from 1 to {MAX_INLINE_LIMIT}")


def run(opening: AbstractContextManager[Transport], session: Session) -> int:
    """Send all images, show each outcome, report what failed, and return the exit code."""
    with opening as transport:
        return _send(transport, session, _view(session))


def _send(transport: Transport, session: Session, view: View) -> int:
    from client.transport.base import send_all

    arguments, images, messages = session.arguments, session.images, session.messages
    ended: list[Outcome] = []
    try:
        for outcome in send_all(transport, images, session.tracker, arguments.timeout):
            ended.append(outcome)
            view.add(outcome)
            messages.progress(len(ended), len(images))
    except KeyboardInterrupt:
        _report_interruption(session, ended, view)
        return options.INTERRUPTED
    _close(view, messages)
    failed = [outcome for outcome in ended if not outcome.ok]
    _report(session, failed)
    return 1 if failed or session.unmatched else 0


def _view(session: Session) -> View:
    from client.results.explanation_files import ExplanationFiles
    from client.results.output import JsonLines, RequestIds, Table

    arguments = session.arguments
    view: View
    if arguments.as_json:
        view = JsonLines()
    elif arguments.no_wait:
        view = RequestIds()
    else:
        view = Table([str(image.path) for image in session.images], all_labels=(arguments.top_k or 1) > 1)
    return ExplanationFiles(view, session.messages) if arguments.explain else view


def _close(view: View, messages: Messages) -> None:
    messages.clear()
    view.close()
    sys.stdout.flush()


def _report_interruption(session: Session, ended: list[Outcome], view: View) -> None:
    """Show the outcomes that arrived, and name the images without one."""
    from client.text import printable, shown

    messages, rest = session.messages, session.tracker.stop()
    for outcome in rest:
        if not outcome.missing:
            view.add(outcome)
    _close(view, messages)
    unanswered = [outcome for outcome in rest if outcome.missing]
    known = {outcome.image for outcome in (*ended, *rest)}
    unsent: list[ImageFile] = [image for image in session.images if image not in known]
    messages.show(f"interrupted; {len(unanswered)} unanswered" + (f", {len(unsent)} not sent" if unsent else ""))
    for outcome in unanswered:
        messages.show(f"  unanswered: {shown(outcome.image)} (request {printable(outcome.request_id)})")
    for image in unsent:
        messages.show(f"  not sent: {shown(image)}")


def _report(session: Session, failed: list[Outcome]) -> None:
    from client.text import printable, shown

    messages, no_wait = session.messages, session.arguments.no_wait
    for text in session.unmatched:
        messages.show(f"no image file is at {printable(text)}")
    for outcome in failed:
        if outcome.missing:
            messages.show(f"{outcome.problem}: {shown(outcome.image)} (request {printable(outcome.request_id)})")
        elif outcome.problem and no_wait:  # no table shows the problem
            messages.show(f"{shown(outcome.image)}: {outcome.problem}")
    errors = sum(outcome.response is not None for outcome in failed)
    good, total = len(session.images) - len(failed), len(session.images)
    done = "sent" if no_wait else "answered"
    messages.show(f"{good} of {total} {done}" + (f", {errors} with an error" if errors else ""))
