"""The options of the commands that send images: what names the images, how they are sent, and what is received."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from client.cli.broker_options import place
from client.cli.options import (
    EXPLANATIONS,
    SECONDS,
    FilePath,
    Number,
    PathText,
    option,
    output,
    payload_bucket,
    state,
    together,
    topic,
)
from client.cli.options import receiving as response_place
from functions.messages.contract import MAX_LINES, TOP_K_LIMIT

selecting = together(
    click.argument(
        "paths",
        nargs=-1,
        metavar="[PATH]...",
        type=PathText(),
        help="Image files, folders, globs, zip archives, and gs://bucket/prefix. Symbolic links that lead out of a "
        "folder are not followed.",
    ),
    option(
        "--from",
        "lists",
        type=PathText(),
        multiple=True,
        metavar="FILE",
        help="Send the files and gs:// addresses that this list names: one on each line (or with NUL between them, as "
        "find -print0 writes them), a CSV, or a results file; - is stdin. May be repeated.",
    ),
    option(
        "--column",
        default="",
        metavar="NAME",
        help="The column of a CSV list that holds the files or addresses.  [default: file]",
    ),
    option(
        "--id-column",
        default="",
        metavar="NAME",
        help="The column of a CSV list that holds the ids of the requests.  [default: none; ids are made]",
    ),
    option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Of folders, globs, archives and buckets, send only images whose name, or path below the folder, matches. "
        "Case matters. May be repeated.",
    ),
    option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Leave out the images that match, also those that --include names. May be repeated.",
    ),
)
"""Declares what names images: the fields of client.sources.selection.Selection."""

_sending = together(
    option("--rate", type=Number(0, positive=True), metavar="N", help="Send at most N images a second."),
    option(
        "--tries",
        type=Number(1, 100, whole=True),
        default=1,
        metavar="N",
        help="Try N times to send an image when a temporary fault prevents it.  [default: 1]",
    ),
    option(
        "--every",
        type=SECONDS,
        default=60.0,
        metavar="S",
        help="Wait S seconds before the next of --tries.  [default: 60]",
    ),
    state,
    option(
        "--unsent",
        type=FilePath(),
        metavar="FILE",
        help="Write the paths of images that were not sent to this file, one on each line.",
    ),
    option("--log", type=FilePath(), metavar="FILE", help="Add a line to FILE for each event of the job."),
)

request = together(
    option(
        "--top-k",
        type=Number(1, TOP_K_LIMIT, whole=True),
        metavar="N",
        help=f"Number of labels for each image, 1 to {TOP_K_LIMIT}.  [default: the worker's]",
    ),
    option(
        "--model",
        metavar="NAME[@ALIAS|@VERSION]",
        help="Request this model; a worker without it answers with an error.",
    ),
)
"""Declares the options of each request, without its expiry."""

_features = option(
    "--features",
    is_flag=True,
    help="Request the features of each image, which the commands index and similar compare.",
)

_expiry = option("--expires-in", type=SECONDS, metavar="S", help="Let requests expire after S seconds.")

resume = option(
    "--resume",
    metavar="JOB",
    help="Go on with a job that was interrupted: send what was not sent, and wait for the rest. `last` is the newest "
    "job.",
)
"""Declares --resume."""


class Gathering(click.ParamType[int | str]):
    """A number of images in a message, or `auto`."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value)
        if text == "auto":
            return text
        if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_LINES):
            self.fail(f"{value} is not a whole number from 1 to {MAX_LINES}, or auto", param, ctx)
        return int(text)


gathering = together(
    option(
        "--gather",
        type=Gathering(),
        default=1,
        metavar="N|auto",
        help=f"Send up to N images, 1 to {MAX_LINES}, in one message, which is faster and cheaper for small ones; auto "
        "gathers 32 images of at most 16 kB.  [default: 1]",
    ),
    option(
        "--responses",
        type=click.Choice(["each", "batch"]),
        default="each",
        help="How gathered images are answered: each by a message of its own, or a batch of them by one, which never "
        "reaches BigQuery.  [default: each]",
    ),
)
"""Declares how publish and submit put images into messages."""

sending = together(selecting, request, _features, _expiry, resume, _sending)
"""Declares what all commands share that send images."""

timeout = option(
    "--timeout",
    type=SECONDS,
    default=60.0,
    metavar="S",
    help="Give up when no answer has arrived for S seconds.  [default: 60]",
)
"""Declares --timeout."""

as_json = option("--json", "as_json", is_flag=True, help="Print one JSON object.")
"""Declares --json of a command that prints one result."""

resending = together(as_json, output, timeout, _sending, place, response_place, topic, payload_bucket)
"""Declares what the commands share that publish images which they find themselves."""

receiving = together(
    option("--json", "as_json", is_flag=True, help="Print one JSON line for each image."),
    output,
    option(
        "--explain",
        is_flag=True,
        help="Request an explanation: <image>.explained.png shows which part of the image decided.  [default folder: "
        f"{EXPLANATIONS}]",
    ),
    option(
        "--explain-to",
        type=FilePath(),
        metavar="DIR",
        help="Write the explanations to this folder; implies --explain.",
    ),
    timeout,
)
"""Declares what the commands share that also receive the responses."""

no_wait = option("--no-wait", is_flag=True, help="Do not wait for answers; print the request ids.")
"""Declares --no-wait."""


def given(names: Iterable[str]) -> dict[str, str]:
    """Return those of these parameters that the command line names, each with its longest flag."""
    ctx = click.get_current_context()
    params = {param.name: param for param in ctx.command.params}
    return {
        name: max(params[name].opts, key=len)
        for name in names
        if name in params and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
