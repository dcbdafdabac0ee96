"""The command line read without running it: the values of a command's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from client.cli.program import program


def parsed(words: Sequence[str], environ: Mapping[str, str]) -> SimpleNamespace:
    """Return the parameters of the command that these words name."""
    command = program.get_command(program.make_context("predictions", ["--help"], resilient_parsing=True), words[0])
    assert command is not None, words[0]
    with program.make_context("predictions", [words[0]], obj=environ) as ctx:
        return SimpleNamespace(**command.make_context(words[0], list(words[1:]), parent=ctx).params)
