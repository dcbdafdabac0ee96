"""The shell completes what is typed after `predictions`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


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
