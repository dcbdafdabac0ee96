"""Parts of the command line that several commands share: the command class, the types of values, the options.

This module and those of the commands import nothing heavy, so that --help and completion are quick.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from client.gcp import MAX_SECONDS, UsageError
from model.text import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells report it."""

EXPLANATIONS = Path("explanations")
"""The folder for explanations where --explain-to names none: below the current folder."""

RENAMED = {f"DOOR_{name}": f"ENDPOINT_{name}" for name in ("URL", "TOKEN")}
"""Environment variables of versions before 1.0.0, and their names since then."""

IMAGE_EXIT_CODES = """\b
Exit codes:
  0    every image has its labels
  1    some images have an error or no answer
  2    wrong usage
  130  interrupted with Ctrl-C"""


SECTIONS = {
    "Images": ("--from", "--column", "--id-column", "--include", "--exclude"),
    "Request": ("--top-k", "--model", "--explain", "--explain-to", "--features", "--expires-in"),
    "Sending": ("--gather", "--responses", "--rate", "--tries", "--every", "--resume", "--state"),
    "Models": ("--shadow", "--canary", "--stable", "--candidate", "--only"),
    "Verdict": (
        "--verdict",
        "--min-images",
        "--margin",
        "--max-disagreement",
        "--max-error-increase",
        "--max-latency-ratio",
        "--save",
    ),
    "Results": ("--json", "--output", "--timeout", "--no-wait", "--unsent", "--log"),
    "Where to": (
        "--project",
        "--broker",
        "--kafka-config",
        "--topic",
        "--response-topic",
        "--subscription",
        "--bucket",
        "--registry",
        "--prefix",
        "--url",
    ),
}
"""The headings of --help, and the options that are listed below each."""


class Command(click.Command):
    """A command with --debug. It refuses variables with an old name, so that no setting is silently ignored.

    `sections`: the headings of --help, and the options below each.
    """

    sections: ClassVar[Mapping[str, Sequence[str]]] = SECTIONS

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

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of SECTIONS, then the others."""
        listed: dict[str, list[tuple[str, str]]] = {name: [] for name in (*self.sections, "Options")}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (row := param.get_help_record(ctx)):
                section = next((name for name, flags in self.sections.items() if {*flags} & {*param.opts}), "Options")
                listed[section].append(row)
        for section, rows in listed.items():
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows, col_max=min(30, formatter.width // 2))

    def invoke(self, ctx: click.Context) -> Any:
        for old, new in RENAMED.items():
            if old in ctx.obj:
                raise UsageError(f"{old} is set; its name is {new} since version 1.0.0")
        if not ctx.meta.get(_DEBUG):
            _hide_libraries()
        return super().invoke(ctx)


_DEBUG = "client.debug"
"""The key of a context's `meta` that says whether --debug was given."""

_LOGGERS = ("", "google")
"""The root logger, and the one whose messages Google's libraries keep from it."""


def _show_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import logging

        ctx.meta[_DEBUG] = True
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(handler)
        logging.getLogger("client").setLevel(logging.DEBUG)


def _hide_libraries() -> None:
    """Leave the libraries' log lines out, which name threads and files of theirs: the commands say what failed."""
    import logging

    for name in _LOGGERS:
        if not logging.getLogger(name).handlers:
            logging.getLogger(name).addHandler(logging.NullHandler())
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read by gRPC's native code when it is imported


class Option(click.Option):
    """An option whose default may come from the environment, which is the context's object and not os.environ."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        environ: Mapping[str, str] = ctx.obj or {}
        names = [self.envvar] if isinstance(self.envvar, str) else self.envvar or ()
        return next((environ[name] for name in names if environ.get(name)), None)


def option(*flags: str, **settings: Any) -> Callable[[Function], Function]:
    """Declare an option; see `click.option`."""
    return click.option(*flags, cls=Option, **settings)


def together(*declarations: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Return the decorator that declares all of these, in this order."""

    def declare(command: Function) -> Function:
        for each in reversed(declarations):
            command = each(command)
        return command

    return declare


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


class NewFile(FilePath):
    """The path of a file that is written and may replace an older one. Its name ends in one of the suffixes, so that no
    file of another kind is replaced by mistake; `""` allows a name without a suffix."""

    def __init__(self, *suffixes: str) -> None:
        self._suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if path.suffix.lower() not in self._suffixes:
            ends = " or ".join(suffix for suffix in self._suffixes if suffix)
            self.fail(f"{printable(str(path))} is another kind of file; the name must end in {ends}", param, ctx)
        return path


class PathText(FilePath):
    """A path as text, because it may also be a glob or a gs:// address."""

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

payload_bucket = option(
    "--bucket",
    default="",
    envvar="PAYLOAD_BUCKET",
    metavar="NAME",
    help="Bucket for images larger than INLINE_LIMIT bytes, by default 1000000.  [env: PAYLOAD_BUCKET]",
)
"""Declares --bucket of the commands that publish."""

output = option(
    "--output",
    type=FilePath(),
    multiple=True,
    metavar="FILE",
    help="Add a row for each image to FILE: .csv, .jsonl, .sqlite, .parquet or labelstudio.json. May be repeated.",
)
"""Declares --output."""

state = option(
    "--state",
    type=PathText(),
    envvar="PREDICTIONS_STATE",
    metavar="FILE",
    help="Job store: a file, or gs://bucket/folder for several machines.  "
    "[env: PREDICTIONS_STATE; default: ~/.local/share/predictions/jobs.db]",
)
"""Declares --state."""

project = option(
    "--project",
    default="",
    envvar="GOOGLE_CLOUD_PROJECT",
    metavar="ID",
    help="Project id.  [env: GOOGLE_CLOUD_PROJECT]",
)
"""Declares --project."""

response_topic = option(
    "--response-topic",
    default="res_predict",
    envvar="RESPONSE_TOPIC",
    metavar="NAME",
    help="Response topic.  [env: RESPONSE_TOPIC; default: res_predict]",
)
"""Declares --response-topic."""

receiving = together(
    response_topic,
    option(
        "--subscription",
        "--group",
        "subscription",
        default="",
        metavar="NAME",
        help="Receive through this subscription, which exists for this client alone, and not through a temporary one. "
        "With Kafka it is a consumer group.",
    ),
)
"""Declares --response-topic and --subscription."""
