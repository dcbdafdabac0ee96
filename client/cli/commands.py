"""The commands publish, upload and predict: each opens its transport and calls the same `run`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import click

from client.cli import options
from client.cli.run import run
from client.cli.session import Arguments, Session
from client.gcp import Cloud, UsageError

_MAX_PREFIX_BYTES = 512
"""Bytes of --prefix in UTF-8: half of what Cloud Storage allows for an object's name."""


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@options.sending
@options.no_wait
@options.project
@options.receiving
@options.topic
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
    from client import emulators
    from client.transport.topic import open_topic

    emulators.check_answers(emulators.PUBSUB, *([emulators.STORAGE] if bucket else []))
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
    from client import emulators
    from client.transport.bucket import open_bucket

    if not bucket:
        raise UsageError("no bucket is set: give --bucket, or set UPLOAD_BUCKET")
    if (size := len(prefix.encode("utf-8", "replace"))) > _MAX_PREFIX_BYTES:
        raise UsageError(f"--prefix has {size:,} bytes; it may have {_MAX_PREFIX_BYTES}")
    emulators.check_answers(emulators.PUBSUB, emulators.STORAGE)
    cloud, session = Cloud(project, response_topic=response_topic), Session(Arguments(**given), prefix)
    transport = open_bucket(
        cloud,
        bucket,
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
