"""The commands `model`, `up` and `scale`: they pass their arguments on to programs in other packages.

The module is imported by its name when the command runs. So the client depends on none of them, and no other command
imports TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from client.cli import options
from client.gcp import UsageError

_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


@click.command(cls=options.Command, context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def model(arguments: Sequence[str]) -> int:
    """Train, import and measure models, and choose those served."""
    return _run("model.__main__", arguments, "predictions model")


@click.command(cls=options.Command, context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def up(arguments: Sequence[str]) -> int:
    """Start the local twin."""
    if os.name == "nt":
        raise UsageError("the local twin runs on Linux and macOS; on Windows, start it in WSL")
    return _run("infra.local.__main__", ["up", *arguments], "predictions")


@click.command(cls=options.Command, context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def scale(arguments: Sequence[str]) -> int:
    """Set the instances of a worker pool."""
    return _run("functions.entrypoints.scale_pool", arguments, "predictions scale")


def _run(module: str, arguments: Sequence[str], program: str) -> int:
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as exc:
        missing = f"{exc.name} is not installed: make setup, or pip install '.[training]' in a checkout"
        print(f"{program}: {missing}", file=sys.stderr)
        return 1
    return int(main(list(arguments), program=program))
