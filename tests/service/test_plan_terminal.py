"""`predictions plan` at a terminal without Unicode blocks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.unit.test_plan_command import WORDS


def test_the_chart_is_ascii_on_a_terminal_without_unicode(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "client", *WORDS],
        cwd=root,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        capture_output=True,
        check=True,
    )
    assert re.search(rb"^  waiting \|[ .:=+*#@-]+\| at most", done.stdout, re.M)
