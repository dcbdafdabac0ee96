"""Adds commands to a parser: each has an example, --json and --debug."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Output = tuple[Any, str]
"""The value that --json prints, and the text that is printed without it."""

Run = Callable[[argparse.Namespace], Output]
"""A command."""

PROGRAM = "python -m model"
"""The name of the program in examples, which is replaced by the one that was started."""


class Subcommands:
    """The commands of a parser. `dest`: the attribute of the parsed arguments that names the chosen one."""

    def __init__(self, parser: argparse.ArgumentParser, program: str, dest: str) -> None:
        self._program = program
        self._commands = parser.add_subparsers(dest=dest, required=True, metavar="COMMAND")

    def add(self, name: str, help: str, example: str) -> argparse.ArgumentParser:
        """Add a command by its name, a help text and an example."""
        command = self._commands.add_parser(
            name, help=help, description=help, epilog=f"example: {example.replace(PROGRAM, self._program)}"
        )
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        command.add_argument("--debug", action="store_true", help="print the traceback of an error before its message")
        return command

    def group(self, name: str, help: str) -> Subcommands:
        """Add a command that has commands; the attribute `action` names the chosen one."""
        return Subcommands(self._commands.add_parser(name, help=help, description=help), self._program, "action")
