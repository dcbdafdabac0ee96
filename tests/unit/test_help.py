"""The help of every command: its examples are commands that the program takes, and narrow terminals can show it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from client.__main__ import main
from client.cli.program import COMMANDS, program
from tests.help_examples import examples


def commands() -> Iterator[tuple[str, ...]]:
    """The words of each command that has its own help."""
    ctx = click.Context(program, info_name="predictions")
    for name in COMMANDS:
        if COMMANDS[name][0] == "client.cli.delegate":  # other programs
            continue
        yield (name,)
        command = program.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from ((name, each) for each in command.list_commands(ctx))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_example_is_a_command_that_is_taken(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examples(words, capsys, monkeypatch)
    assert found or words in (("results",), ("completion",))
    for example in found:
        for line in re.findall(r"predictions (\w[^|&)]*)", example):
            given = shlex.split(line)
            with click.Context(program, info_name="predictions", obj={}) as ctx:
                command = program.get_command(ctx, given[0])
                assert command is not None, example
                made = command.make_context(given[0], given[1:], parent=ctx)
                if isinstance(command, click.Group):
                    name, inner, rest = command.resolve_command(made, given[1:])
                    assert inner is not None, example
                    inner.make_context(name, rest, parent=made)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_a_terminal_of_40_columns_shows_the_help(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main([*words, "--help"], {}) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    prose = [
        line for line in shown.splitlines() if not re.match(r"\s+(predictions |--\S+ )|.*(https?://|\S{25,})", line)
    ]
    literal = ("    ", "  0 ", "  1 ", "  2 ")
    long = [line for line in prose if len(line) > 40 and not line.startswith(literal)]
    assert long == []
