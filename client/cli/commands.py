"""The commands publish, submit, upload and predict: each opens its transport and calls the same `run`."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.arguments import Arguments
from client.cli.broker_options import place, pubsub_only
from client.cli.run import run
from client.cli.sending_options import gathering, no_wait, receiving, sending
from client.cli.session_opening import open_session
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.definition import Definition
    from client.jobs.job import Job
    from client.sources.source import AnySource

_MAX_PREFIX_BYTES = 512
"""Bytes of --prefix in UTF-8: half of what Cloud Storage allows for an object's name."""

_SUBMIT_EXIT_CODES = """\b
Exit codes:
  0    every image was sent
  1    some images were not sent
  2    wrong usage
  130  interrupted with Ctrl-C"""


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@sending
@gathering
@receiving
@no_wait
@place
@options.receiving
@options.topic
@options.payload_bucket
@click.pass_obj
def publish(environ: Mapping[str, str], /, **given: Any) -> int:
    """Publish images on the request topic and wait for their labels.

    A large image goes to a bucket, and the message holds a reference to it. An object of a bucket is not downloaded:
    its message holds a reference too. With --gather, several images share a message.

    \b
    Examples:
      predictions publish shoe.png photos/ 'more/*.jpg' --top-k 3
      predictions publish gs://photos/2026/ --output run.csv
      predictions publish photos/ --gather auto
      predictions publish --resume last
    """
    return publish_job(environ, given)


@click.command(cls=options.Command, epilog=_SUBMIT_EXIT_CODES)
@sending
@gathering
@place
@options.receiving
@options.topic
@options.payload_bucket
@click.pass_obj
def submit(environ: Mapping[str, str], /, **given: Any) -> int:
    """Publish images as a job, print its id at once, and do not wait for the labels.

    The job's responses wait on a subscription of its own for a week. The commands status, wait and cancel take the id.

    \b
    Example:
      JOB=$(predictions submit photos/)
      predictions wait $JOB --output run.csv
    """
    return publish_job(environ, given | {"detached": True})


def publish_job(
    environ: Mapping[str, str], given: dict[str, Any], then: Callable[[Job, int], int] | None = None
) -> int:
    """Publish images as publish does with the parameters `given`, and return the exit code.

    `then` gets the job and the exit code at the end, and returns another one; no table is shown with it.
    """
    definition, arguments = split("publish", given | {"quiet": then is not None})

    def end(job: Job, code: int) -> int:
        return then(job, code) if then and code != options.INTERRUPTED else code

    return publish_session(environ, definition, arguments, None, end)


def publish_session(
    environ: Mapping[str, str],
    definition: Definition,
    arguments: Arguments,
    make_source: Callable[[Definition], AnySource] | None,
    end: Callable[[Job, int], int],
) -> int:
    """Publish the images of a definition, or those of the job to resume. `end` returns the exit code.

    `make_source` makes the source of the images; without it, it is what the definition's selection names.
    """
    from client.transport.broker import check_reachable

    if not arguments.resume:
        check_reachable(definition.cloud, bucket=definition.bucket)
    with open_session(arguments, definition, make_source) as session:
        if arguments.resume:
            check_reachable(session.job.definition.cloud, bucket=session.job.definition.bucket)
        if arguments.detached:
            print(session.job.id, flush=True)
        return end(session.job, run(session.job_run.open_topic(environ), session))


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@sending
@receiving
@no_wait
@options.project
@pubsub_only
@options.receiving
@options.option(
    "--bucket", default="", envvar="UPLOAD_BUCKET", metavar="NAME", help="Watched bucket.  [env: UPLOAD_BUCKET]"
)
@options.option("--prefix", default="", metavar="PREFIX", help="Start of every object's name, such as shop/.")
def upload(**given: Any) -> int:
    """Upload images to the watched bucket and wait for their labels.

    The files of a folder keep their paths below the folder.

    \b
    Example:
      predictions upload photos/ --bucket uploads --prefix shop/
    """
    from client import emulators
    from client.transport.bucket import open_bucket

    definition, arguments = split("upload", given)
    if not definition.bucket and not arguments.resume:
        raise UsageError("no bucket is set: give --bucket, or set UPLOAD_BUCKET")
    if (size := len(definition.prefix.encode("utf-8", "replace"))) > _MAX_PREFIX_BYTES:
        raise UsageError(f"--prefix has {size:,} bytes; it may have {_MAX_PREFIX_BYTES}")
    emulators.check_answers(emulators.PUBSUB, emulators.STORAGE)
    with open_session(arguments, definition) as session:
        made = session.job.definition
        transport = open_bucket(
            made.cloud,
            made.bucket,
            session.tracker,
            session.job_run.responses(),
            prefix=made.prefix,
            options=made.options,
        )
        return run(transport, session)


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@sending
@receiving
@options.option(
    "--url",
    default="",
    envvar=["ENDPOINT_URL", "WORKER_URL"],
    metavar="URL",
    help="Address of the worker.  [env: ENDPOINT_URL, WORKER_URL]",
)
@click.pass_obj
def predict(environ: Mapping[str, str], /, **given: Any) -> int:
    """Post images to the HTTP endpoint of a worker.

    The variable ENDPOINT_TOKEN holds the identity token for a protected endpoint.

    \b
    Example:
      predictions predict shoe.png --url http://127.0.0.1:8080
    """
    from client.transport.http import HttpTransport

    definition, arguments = split("predict", given)
    if not definition.url and not arguments.resume:
        raise UsageError("no worker is set: give --url, or set ENDPOINT_URL or WORKER_URL")
    with open_session(arguments, definition) as session:
        made = session.job.definition
        transport = HttpTransport(
            made.url, session.tracker, arguments.timeout, made.options, environ.get("ENDPOINT_TOKEN")
        )
        return run(nullcontext(transport), session)


def split(command: str, given: dict[str, Any]) -> tuple[Definition, Arguments]:
    """Return the definition of a job and the arguments of this run. Raises UsageError."""
    from client.jobs.definition import Definition, current_place

    named = (
        "project",
        "broker",
        "kafka_config",
        "topic",
        "response_topic",
        "subscription",
        "bucket",
        "prefix",
        "url",
    )
    places = {name: given.pop(name) for name in named if name in given}
    arguments = Arguments(**given)
    if arguments.responses != "each" and arguments.gather == 1 and not arguments.resume:
        raise UsageError("--responses batch is for several images in a message: give --gather too")
    if arguments.no_wait and places.get("subscription"):
        raise UsageError("--no-wait receives nothing, so --subscription cannot be used with it")
    if command != "publish" and any(path.startswith("gs://") for path in arguments.paths):
        raise UsageError("an object of a bucket is sent as a reference, which only publish and submit do")
    receives = command != "predict" and not arguments.no_wait
    definition = Definition(
        command=command,
        described=arguments.described(),
        client_id=uuid.uuid4().hex if receives else "",
        place="" if command == "predict" or places.get("broker") else current_place(),
        folder=os.getcwd(),
        machine=socket.gethostname(),
        selection=arguments.selection_values(),
        options=arguments.request_options(),
        **places,
    )
    return definition, arguments
