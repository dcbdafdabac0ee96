"""The program `predictions`: its commands, each imported only when it is used."""

from __future__ import annotations

import importlib
from typing import Any

import click

COMMANDS = {
    "publish": ("client.cli.commands", "Publish images on the request topic."),
    "submit": ("client.cli.commands", "Publish images as a job, and do not wait."),
    "upload": ("client.cli.commands", "Upload images to the watched bucket."),
    "predict": ("client.cli.commands", "Post images to a worker over HTTP."),
    "jobs": ("client.cli.jobs", "List jobs."),
    "status": ("client.cli.jobs", "Show how far a job is."),
    "wait": ("client.cli.jobs", "Wait for the responses of a job."),
    "cancel": ("client.cli.jobs", "End a job; keep what was answered."),
    "web": ("client.cli.web", "Serve a page: drop images, watch predictions arrive."),
    "watch": ("client.cli.watch", "Print responses as they arrive."),
    "watch-folder": ("client.cli.watch_folder", "Publish a folder's images as they appear."),
    "frames": ("client.cli.frames", "Publish frames of a video in their order."),
    "collect": ("client.cli.collect", "Write responses to a results file."),
    "results": ("client.cli.results", "Find rows in results files."),
    "report": ("client.cli.report", "Write an HTML report, and check for drift."),
    "evaluate": ("client.cli.evaluate", "Measure accuracy on labelled images."),
    "replay": ("client.cli.replay", "Send the images of earlier results again, and compare."),
    "compare": ("client.cli.compare", "Compare two runs, or a shadow or canary with stable."),
    "index": ("client.cli.similar", "Index the features of images."),
    "similar": ("client.cli.similar", "List the indexed images that resemble one."),
    "dead-letters": ("client.cli.dead_letters", "List, show, redrive and purge dead letters."),
    "bridge": ("client.cli.bridge", "Move requests and responses from one broker to another."),
    "plan": ("client.cli.plan", "Size, price and simulate a deployment."),
    "doctor": ("client.cli.doctor", "Check a deployment, and name the fixes."),
    "scale": ("client.cli.delegate", "Set the instances of a worker pool."),
    "request": ("client.cli.training", "Ask for a training or an evaluation."),
    "model": ("client.cli.delegate", "Train, import and measure models, and choose those served."),
    "up": ("client.cli.delegate", "Start the local twin until Ctrl-C."),
    "completion": ("client.cli.completion", "Print the completion script for a shell."),
}
"""Each command's module and summary. The summaries are here so that --help imports no command."""


class Program(click.Group):
    """A group whose commands are imported by name. A command's function has the command's name, with `_` for `-`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: Any = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command), cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"{args[0]!r} is no command; the commands are {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from client.version import version

        click.echo(f"predictions {version()}")
        ctx.exit()


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  predictions up                      start a local twin
  eval "$(predictions up --env)"      use it in another terminal
  predictions publish shoe.png        send an image and see its label
  predictions publish --help          show the options of a command

\b
Completion of commands, options and files in bash (zsh, fish: see --help of
the command completion):
  eval "$(predictions completion bash)"

\b
Exit codes: 0 success, 1 failure or some images without labels, 2 wrong usage,
130 interrupted with Ctrl-C.""",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def program() -> None:
    """Send images to the prediction pipeline and see their labels."""
