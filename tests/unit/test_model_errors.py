"""Every error of a model command is one line of at most 300 characters; --debug prints its traceback."""

from __future__ import annotations

import argparse
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from model import __main__ as program
from model.errors import ArtifactError
from model.training.commands import check_run_folder
from model.training.errors import RunError, SourceError

LONG = "could not be deserialized\n" + "{'config': " * 20_000
ERRORS: list[tuple[Exception, str]] = [
    (SourceError(f"a.keras cannot be loaded: {LONG}"), "model catalog: a.keras cannot be loaded: could not"),
    (ArtifactError("labels.txt is missing"), "model catalog: labels.txt is missing\n"),
    (OSError(28, "No space left on device", "/x"), "model catalog: /x: No space left on device\n"),
    (OSError(LONG), "model catalog: a file: could not be deserialized\n"),
    (
        ValueError(LONG),
        "model catalog: an unexpected error, ValueError: could not be deserialized; --debug shows where",
    ),
    (KeyError("x" * 9_000), "model catalog: an unexpected error, KeyError: 'xxx"),
    (RuntimeError(), "model catalog: an unexpected error, RuntimeError: RuntimeError; --debug shows where"),
    (ModuleNotFoundError("No module", name="keras"), "model catalog: keras is not installed: make setup, or "),
    (SourceError("a \x1b[31mred\u202e name"), "model catalog: a \\x1b[31mred\\u202e name\n"),
]


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(arguments: argparse.Namespace) -> Any:
        raise error

    monkeypatch.setitem(program._COMMANDS, "catalog", command)


@pytest.mark.parametrize(("error", "said"), ERRORS)
def test_an_error_is_one_short_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(error, monkeypatch)
    assert program.main(["catalog"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(said)
    assert printed.err.count("\n") == 1 and len(printed.err) <= 301


def test_debug_prints_the_traceback_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(ValueError("of a library"), monkeypatch)
    assert program.main(["catalog", "--debug"]) == 1
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last == "model catalog: an unexpected error, ValueError: of a library; --debug shows where it occurred"


def test_a_reader_that_stops_early_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "out").open("w") as file:

        class Closed(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

            def fileno(self) -> int:
                return file.fileno()

        monkeypatch.setitem(program._COMMANDS, "catalog", lambda arguments: ([{"name": "a"}], "a"))
        monkeypatch.setattr("sys.stdout", Closed())
        assert program.main(["catalog", "--json"]) == 1
        assert os.path.samestat(os.fstat(file.fileno()), os.stat(os.devnull)), "nothing is written at exit"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("transfer", [True, False])
def test_a_folder_with_a_run_of_the_other_kind_is_refused(transfer: bool, tmp_path: Path) -> None:
    check_run_folder(tmp_path, transfer)
    (tmp_path / "config.yaml").write_text(json.dumps({"backbone": "MobileNet"} if transfer else {"cycles": []}))
    check_run_folder(tmp_path, transfer)
    with pytest.raises(RunError, match=r"holds a run .*; choose another folder \(--out\), or remove it"):
        check_run_folder(tmp_path, not transfer)
