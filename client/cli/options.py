"""Parts of the command line that several commands share: the command class, the types of values, the options.

This module and those of the commands import nothing heavy, so that --help and completion are quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from client.gcp import UsageError
from functions.messages.contract import TOP_K_LIMIT

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells report it."""

EXPLANATIONS = Path("explanations")
"""The folder for explanations where --explain-to names none: below the current folder."""

MAX_SECONDS = 604_800
"""Seconds of the longest timeout: a week, as long as Pub/Sub keeps a message by default."""

RENAMED = {f"DOOR_{name}": f"ENDPOINT_{name}" for name in ("URL", "TOKEN")}
"""Environment variables of versions before 1.0.0, and their names since then."""

IMAGE_EXIT_CODES = """\b
Exit codes:
  0    every image has its labels
  1    some images have an error or no answer
  2    wrong usage
  130  interrupted with Ctrl-C"""


class Command(click.Command):
    """A command with --debug. It refuses variables with an old name, so that no setting is silently ignored."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if not self.ignore_unknown_options:  # the commands that pass all options on have their own
            self.params.append(
                click.Option(
                    ["--debug"],
                    is_flag=True,
                    expose_value=False,
                    callback=_show_debug,
                    help="Print the libraries' own messages about errors, with stack traces, on stderr.",
                )
            )

    def invoke(self, ctx: click.Context) -> Any:
        for old, new in RENAMED.items():
            if old in ctx.obj:
                raise UsageError(f"{old} is set; its name is {new} since version 1.0.0")
        return super().invoke(ctx)


def _show_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import logging

        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.getLogger("client").addHandler(handler)
        logging.getLogger("client").setLevel(logging.DEBUG)


class Option(click.Option):
    """An option whose default may come from the environment, which is the context's object and not os.environ."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        environ: Mapping[str, str] = ctx.obj or {}
        names = [self.envvar] if isinstance(self.envvar, str) else self.envvar or ()
        return next((environ[name] for name in names if environ.get(name)), None)


def option(*flags: str, **settings: Any) -> Callable[[Function], Function]:
    """Declare an option; see `click.option`."""
    return click.option(*flags, cls=Option, **settings)


class Number(click.ParamType[float]):
    """A number from `least` to `most`; `whole` allows only whole numbers, `positive` excludes `least` itself."""

    def __init__(
        self, least: float, most: float = inf, *, whole: bool = False, positive: bool = False, kind: str = ""
    ) -> None:
        self.name = kind or ("whole number" if whole else "number")
        self._least, self._most, self._whole, self._positive = least, most, whole, positive

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        inside = self._least < number <= self._most if self._positive else self._least <= number <= self._most
        if not inside or number == inf or (self._whole and number != int(number)):
            least = f"above {self._least:g}, at most" if self._positive else f"from {self._least:g} to"
            limits = f"{least} {self._most:,.0f}" if self._most < inf else f"from {self._least:g} up"
            self.fail(f"{value} is not a {self.name} {limits}", param, ctx)
        return int(number) if self._whole else number


class FilePath(click.ParamType[Path]):
    """A path of a file or folder, which need not exist. Shells complete it."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class ImagePath(FilePath):
    """A path of a command that sends images: text, because it may be a glob."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return str(value)


SECONDS = Number(0, MAX_SECONDS, positive=True, kind="number of seconds")


topic = option(
    "--topic",
    default="req_predict",
    envvar="REQUEST_TOPIC",
    metavar="NAME",
    help="Request topic.  [env: REQUEST_TOPIC; default: req_predict]",
)
"""Declares --topic."""

output = option(
    "--output",
    type=FilePath(),
    multiple=True,
    metavar="FILE",
    help="Add a row for each image to FILE: .csv, .jsonl, .sqlite, .parquet or labelstudio.json. May be repeated.",
)
"""Declares --output."""


def selecting(command: Function) -> Function:
    """Declare what names images: the fields of client.sources.selection.Selection."""
    for declare in reversed(
        (
            click.argument(
                "paths",
                nargs=-1,
                metavar="[PATH]...",
                type=ImagePath(),
                help="Image files, folders, globs, zip archives, and gs://bucket/prefix. Symbolic links that lead out "
                "of a folder are not followed.",
            ),
            option(
                "--from",
                "lists",
                type=ImagePath(),
                multiple=True,
                metavar="FILE",
                help="Send the files and gs:// addresses that this list names: one on each line (or with NUL between "
                "them, as find -print0 writes them), a CSV, or a results file; - is stdin. May be repeated.",
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
                help="Of folders, globs, archives and buckets, send only images whose name, or path below the folder, "
                "matches. Case matters. May be repeated.",
            ),
            option(
                "--exclude",
                multiple=True,
                metavar="GLOB",
                help="Leave out the images that match, also those that --include names. May be repeated.",
            ),
        )
    ):
        command = declare(command)
    return command


def sending(command: Function) -> Function:
    """Declare what all commands share that send images: the paths, and the options of a request."""
    for declare in reversed(
        (
            click.argument(
                "paths",
                nargs=-1,
                required=True,
                metavar="PATH...",
                type=ImagePath(),
                help="Image files, folders and globs. Symbolic links that lead out of a folder are not followed.",
            ),
            option("--json", "as_json", is_flag=True, help="Print one JSON line for each image."),
            output,
            option(
                "--top-k",
                type=Number(1, TOP_K_LIMIT, whole=True),
                metavar="N",
                help=f"Number of labels for each image, 1 to {TOP_K_LIMIT}.  [default: the worker's]",
            ),
            option(
                "--model", metavar="NAME", help="Request this model; a worker with another one answers with an error."
            ),
            option(
                "--explain",
                is_flag=True,
                help="Request an explanation: <image>.explained.png shows which part of the image decided.  "
                f"[default folder: {EXPLANATIONS}]",
            ),
            option(
                "--explain-to",
                type=FilePath(),
                metavar="DIR",
                help="Write the explanations to this folder; implies --explain.",
            ),
            option("--expires-in", type=SECONDS, metavar="S", help="Let requests expire after S seconds."),
            option(
                "--timeout",
                type=SECONDS,
                default=60.0,
                metavar="S",
                help="Wait S seconds for answers after the last image is sent.  [default: 60]",
            ),
            option(
                "--unsent",
                type=FilePath(),
                metavar="FILE",
                help="Write the paths of images that were not sent to this file, one on each line.",
            ),
        )
    ):
        command = declare(command)
    return command


def no_wait(command: Function) -> Function:
    """Declare --no-wait."""
    return option("--no-wait", is_flag=True, help="Do not wait for answers; print the request ids.")(command)


def project(command: Function) -> Function:
    """Declare --project."""
    return option(
        "--project",
        default="",
        envvar="GOOGLE_CLOUD_PROJECT",
        metavar="ID",
        help="Project id.  [env: GOOGLE_CLOUD_PROJECT]",
    )(command)


def receiving(command: Function) -> Function:
    """Declare --response-topic and --subscription."""
    for declare in (
        option(
            "--subscription",
            default="",
            metavar="NAME",
            help="Receive through this subscription, which exists for this client alone, and not through a temporary "
            "one.",
        ),
        option(
            "--response-topic",
            default="res_predict",
            envvar="RESPONSE_TOPIC",
            metavar="NAME",
            help="Response topic.  [env: RESPONSE_TOPIC; default: res_predict]",
        ),
    ):
        command = declare(command)
    return command
