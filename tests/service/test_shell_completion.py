"""Shell completion of the `predictions` command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.__main__ import main


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["predictions", "p"], {"plain,publish", "plain,predict", "plain,plan"}),
        (["predictions", "publish", "--to"], {"plain,--topic", "plain,--top-k"}),
        (["predictions", "plan", "--delivery", "pu"], {"plain,push", "plain,pull"}),
        (["predictions", "publish", "sho"], {"file,sho"}),
        (["predictions", "completion", "z"], {"plain,zsh"}),
    ],
)
def test_the_shell_completes(words: list[str], completed: set[str], root: Path) -> None:
    line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "client"],
        cwd=root,
        env=os.environ | line | {"_PREDICTIONS_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == completed


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _predictions_completion predictions"),
        ("zsh", "#compdef predictions"),
        ("fish", "complete --no-files --command predictions"),
    ],
)
def test_each_shell_has_a_script(shell: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell], {}) == 0
    shown = capsys.readouterr().out
    assert line in shown and f"_PREDICTIONS_COMPLETE={shell}_complete" in shown
