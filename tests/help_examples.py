"""The examples in the help of the client's commands."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from client.__main__ import main


def examples(words: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The examples of a command, each in one line, as a shell would read it."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*words, "--help"], {}) == 0
    shown = capsys.readouterr().out.replace("\\\n", " ")
    found = re.search(r"\n  Examples?:\n((?:    .*\n)+)", shown)
    return [line.strip() for line in found[1].splitlines()] if found else []
