"""The program `predictions`: its commands, completion, and the programs that it passes arguments on to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from client.__main__ import main
from client.cli import delegate
from client.cli.program import COMMANDS, program
from tests.command_line import parsed


def test_every_command_has_its_name_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"], {}) == 0
    shown = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        command = program.get_command(click.Context(program), name)
        assert command is not None and command.name == name and command.help
        assert f"  {name} " in shown and summary in shown


@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name][0] != "client.cli.delegate"])
def test_help_fits_a_terminal_of_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"], {}) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 80 and f"Usage: predictions {name} " in shown


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "Commands:" in shown.err


def test_the_twin_names_wsl_on_windows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(delegate, "os", SimpleNamespace(name="nt"))
    assert main(["up"], {}) == 2
    assert capsys.readouterr().err.endswith("on Windows, start it in WSL\n")


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"], {}) == 2
    assert "'fly' is no command; the commands are publish, submit, upload, predict, jobs" in capsys.readouterr().err


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"], {}) == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "usage"),
    [(["model", "train", "--help"], "usage: predictions model train"), (["up", "--help"], "usage: predictions up")],
)
def test_subcommands_of_other_programs_get_their_arguments(
    words: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words, {})
    assert ended.value.code == 0 and capsys.readouterr().out.startswith(usage)


def test_several_files_may_follow_one_bench() -> None:
    given = parsed(["plan", "--images-per-day", "1", "--bench", "a.json", "b.json", "--json"], {})
    assert [*given.bench, *given.more_bench] == [Path("a.json"), Path("b.json")] and given.as_json


def test_a_file_without_bench_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--images-per-day", "1", "a.json"], {}) == 2
    assert "a.json is an unexpected argument; files of measurements follow --bench" in capsys.readouterr().err
